"""ganforge.export: a run's generator as one ONNX file with a card, proved equal before it is reported."""

from ganforge.export.exporter import export

__all__ = ["export"]
