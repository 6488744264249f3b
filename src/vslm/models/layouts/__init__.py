"""Functions that make models, banks and paths: by depth, by window, with loops. A reader can print them."""
