"""ganforge.export: a run's generator as one ONNX file with a card, proved equal before it is reported."""

from ganforge.export.exporter import export, write_scores
from ganforge.export.triton import check_repository, write_repository

__all__ = ["check_repository", "export", "write_repository", "write_scores"]
