"""What can do a recogniser's arithmetic, and how exactly: names, apart from what imports torch."""

from typing import Literal

BackendName = Literal["torch", "onnxruntime", "openvino"]
Precision = Literal["float32", "bf16", "int8"]
