"""ganforge.export: a run's generator as one ONNX file with a card, proved equal before it is reported."""

from ganforge.export.exporter import export, write_scores

__all__ = ["export", "write_scores"]
