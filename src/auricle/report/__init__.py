"""The page of a run and of its evaluations: one HTML file with nothing outside it.

`run` and `evaluation` read what training and decoding left on disk, `charts` and `sound` make the pictures
and the clips, `html` joins them safely, and `page` decides what stands where.
"""

from auricle.report.page import write_report

__all__ = ["write_report"]
