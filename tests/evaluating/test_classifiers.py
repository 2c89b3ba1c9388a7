"""A timm model keeps the published classifier of ImageNet's classes, beside its embeddings."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from perceptinit.evaluating.other_models import load_timm


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_logits_of_a_timm_file_equal_those_of_timm(tmp_path, name):
    torch.manual_seed(0)
    own = timm.create_model(name, num_classes=1000).eval()
    save_file(own.state_dict(), tmp_path / "model.safetensors")
    model = load_timm(name, str(tmp_path / "model.safetensors"))
    images = torch.randint(0, 256, (2, 3, model.image_size, model.image_size), dtype=torch.uint8)
    with torch.no_grad():
        pixels = (images / 255 - model.image.mean.view(-1, 1, 1)) / model.image.std.view(-1, 1, 1)
        expected = own(pixels)
        found = model.classify(images)
    assert model.classnames[:2] == ("0", "1")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert model.encode_image(images).shape == (2, own.num_features)


@pytest.mark.parametrize("num_classes", [10, 0])
def test_a_timm_file_with_other_classes_has_no_classifier(tmp_path, num_classes):
    own = timm.create_model("test_vit", num_classes=num_classes)
    save_file(own.state_dict(), tmp_path / "model.safetensors")
    assert not hasattr(load_timm("test_vit", str(tmp_path / "model.safetensors")), "classify")
