package checkpoint

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vitdecompose/gomlxvit/preprocess"
)

const tinyViT = `{"model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 48, "id2label": {"1": "dog", "0": "cat"}}`

// openTransformers opens a checkpoint with this configuration and image processor, "" for none.
func openTransformers(t testing.TB, config, processor string) (*Checkpoint, error) {
	files := map[string]string{timmConfig: config, safeWeights: "W"}
	if processor != "" {
		files[imageProcessor] = processor
	}
	return OpenFS(checkpointFS(t, files), "tiny")
}

func TestTransformersConfig(t *testing.T) {
	c, err := openTransformers(t, tinyViT, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Library != Transformers || c.Transformers.ModelType != "vit" || !cmp.Equal(c.LabelNames, []string{"cat", "dog"}) || c.HasText() {
		t.Errorf("%+v", c)
	}
	if v := c.Transformers.Vision; v.Width != 768 || v.Epsilon != 1e-12 || v.ImageSize != 48 || v.PatchSize != 16 || !v.QKVBias {
		t.Errorf("defaults %+v", v)
	}
	if len(c.Assumptions) != 1 || !strings.Contains(c.Assumptions[0], imageProcessor) {
		t.Errorf("assumptions %q", c.Assumptions)
	}
	clip, err := openTransformers(t, `{"model_type": "clip", "projection_dim": 8, "vision_config": {"patch_size": 16}, "text_config": {"hidden_size": 32}}`, "")
	if err != nil {
		t.Fatal(err)
	}
	if !clip.HasText() || clip.Transformers.EmbedDim != 8 || clip.Transformers.Text.Width != 32 || clip.Transformers.Vision.Activation != "quick_gelu" {
		t.Errorf("%+v", clip.Transformers)
	}
}

func TestTransformersProcessor(t *testing.T) {
	half := [3]float32{0.5, 0.5, 0.5}
	config := func(size [2]int, mode string, pct float64, filter string, mean, std [3]float32) preprocess.Config {
		return preprocess.Config{Library: preprocess.Transformers, Size: size, CropMode: mode, CropPct: pct, Interpolation: filter, Mean: mean, Std: std}
	}
	for _, test := range []struct {
		name, config, processor string
		want                    preprocess.Config
	}{
		{"none", tinyViT, "", config([2]int{48, 48}, "squash", 1, "bilinear", half, half)},
		{"squashed", tinyViT, `{"size": {"height": 32, "width": 32}, "resample": 3, "image_mean": [0.4, 0.4, 0.4]}`,
			config([2]int{32, 32}, "squash", 1, "bicubic", [3]float32{0.4, 0.4, 0.4}, half)},
		{"one number", tinyViT, `{"size": 32}`, config([2]int{32, 32}, "squash", 1, "bilinear", half, half)},
		{"shorter side", tinyViT, `{"image_processor_type": "CLIPImageProcessor", "size": 64, "crop_size": 48}`,
			config([2]int{48, 48}, "center", 0.75, "bilinear", half, half)},
		{"shortest edge", tinyViT, `{"size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}, "do_center_crop": true}`,
			config([2]int{48, 48}, "center", 0.75, "bilinear", half, half)},
		{"squashed and cropped", tinyViT, `{"size": {"height": 64, "width": 64}, "crop_size": 48}`, config([2]int{48, 48}, "squash", 0.75, "bilinear", half, half)},
		{"not normalised", tinyViT, `{"do_normalize": false}`, config([2]int{48, 48}, "squash", 1, "bilinear", [3]float32{}, [3]float32{1, 1, 1})},
		{"within", tinyViT, `{"processor_class": "x", "image_processor": {"size": 32}}`, config([2]int{32, 32}, "squash", 1, "bilinear", half, half)},
		{"DINOv2", `{"model_type": "dinov2", "image_size": 518}`, `{"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": true}`,
			config([2]int{224, 224}, "center", 0.875, "bicubic", imageNetMean, imageNetStd)},
	} {
		c, err := openTransformers(t, test.config, test.processor)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if diff := cmp.Diff(test.want, c.Preprocess); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	// Whatever the sizes, scaling comes to the side asked for.
	for side := 1; side < 1500; side += 7 {
		for crop := 1; crop <= side; crop += 11 {
			if got := int(float64(crop) / cropShare(crop, side)); got != side {
				t.Fatalf("a crop of %d from %d: scaled to %d", crop, side, got)
			}
		}
	}
}

func TestTransformersRefused(t *testing.T) {
	for _, test := range []struct{ config, processor, file, want string }{
		{`{"architectures": ["ViTModel"]}`, "", timmConfig, "model_type"},
		{`{"model_type": "vit", "layer_norm_eps": 1e39}`, "", timmConfig, "layer_norm_eps"},
		{`{"model_type": "vit", "image_size": [48, 32]}`, "", timmConfig, "square"},
		{`{"model_type": "vit", "num_channels": 1}`, "", timmConfig, "colour"},
		{`{"model_type": "swin", "use_absolute_embeddings": true}`, "", timmConfig, "use_absolute_embeddings"},
		{tinyViT, `{"resample": 9}`, imageProcessor, "resample"},
		{tinyViT, `{"rescale_factor": 1}`, imageProcessor, "rescale_factor"},
		{tinyViT, `{"do_rescale": false}`, imageProcessor, "rescale_factor"},
		{tinyViT, `{"do_resize": false}`, imageProcessor, "do_resize"},
		{tinyViT, `{"size": {"shortest_edge": 64}, "do_center_crop": false}`, imageProcessor, "do_center_crop"},
		{tinyViT, `{"size": {"height": 64, "width": 32}, "crop_size": 32}`, imageProcessor, "ratio"},
		{tinyViT, `{"image_std": [0, 1, 1]}`, imageProcessor, "std"},
		{tinyViT, `[]`, imageProcessor, "not a JSON object"},
	} {
		_, err := openTransformers(t, test.config, test.processor)
		checkMessage(t, test.config+test.processor, err, filepath.Join("tiny", test.file), test.want)
	}
}

func FuzzTransformers(f *testing.F) {
	f.Add(tinyViT, `{"size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}, "do_center_crop": true}`)
	f.Add(`{"model_type": "clip", "text_config": {}, "vision_config": {}}`, `{"image_processor": {"size": 3, "resample": 1}}`)
	f.Add(`{"model_type": "swin", "depths": [], "num_heads": [0]}`, `{"size": [1, 2]}`)
	f.Fuzz(func(t *testing.T, config, processor string) {
		c, err := parseTransformers([]byte(config))
		if err != nil {
			return
		}
		if err := c.readProcessor([]byte(processor)); err == nil {
			if err := c.Preprocess.Check(); err != nil {
				t.Errorf("accepted, and then: %v", err)
			}
		}
	})
}
