"""The sections of a page that appear where something beside the loss was measured, and only then."""
