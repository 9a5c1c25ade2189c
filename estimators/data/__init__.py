"""What users hand over: named columns of rows, with what was set, what is missing and how much each row counts.

Read `columns` (lists, arrays, tensors and frames become float64 tensors), then `data` (the checked whole).
"""
