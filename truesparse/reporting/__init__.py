"""Parts of the report on a run: what the folder holds, its pictures, the page."""
