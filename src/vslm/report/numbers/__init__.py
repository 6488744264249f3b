"""The numbers of a report, from run folders: curves with intervals, rows of tables, comparisons. No figures."""
