"""Whole pages and files: of a study, of a comparison, of prompts; and every figure as PNG, SVG and CSV."""
