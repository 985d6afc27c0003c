"""ganforge.serve: an exported file as pictures. Needs onnxruntime and no torch.

from ganforge.serve import load
pictures = load("model.onnx").sample(16, seed=1)  # uint8 [16, H, W, C]
"""

from ganforge.serve.model import Model, load

__all__ = ["Model", "load"]
