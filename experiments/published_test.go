package experiments

import (
	"math"
	"slices"
	"testing"
)

// Every published row has a number for each measure, between 0 and 1, and the ablation helps every model, as the paper
// says of Waterbirds; so does the decomposition beat what it is compared with in segmentation.
func TestPublishedTables(t *testing.T) {
	for _, table := range published {
		for _, row := range table.Rows {
			if len(row.Values) != len(table.Measures) {
				t.Errorf("%s, %s: %d values for %d measures", table.Experiment, row.Model, len(row.Values), len(table.Measures))
			}
			for _, v := range row.Values {
				if !(v > 0 && v < 1) {
					t.Errorf("%s, %s: value %v", table.Experiment, row.Model, v)
				}
				if scaled := v * math.Pow(10, float64(table.Decimals)); math.Abs(scaled-math.Round(scaled)) > 1e-6 {
					t.Errorf("%s, %s: %v has more than %d decimals", table.Experiment, row.Model, v, table.Decimals)
				}
			}
		}
	}
	birds, ok := Published("waterbirds")
	if !ok || len(birds.Rows) != 6 {
		t.Fatalf("%d rows of Waterbirds", len(birds.Rows))
	}
	for _, row := range birds.Rows {
		if v := row.Values; v[0] >= v[1] || v[2] >= v[3] || v[0] > v[2] || v[1] > v[3] {
			t.Errorf("%s: %v", row.Model, v)
		}
	}
	segments, ok := Published("segmentation")
	if !ok || len(segments.Rows) != 10 {
		t.Fatalf("%d rows of segmentation", len(segments.Rows))
	}
	for _, model := range []string{paperDeiT, paperDINO, paperMaxViT, paperSwin} {
		rows := segments.Of(model)
		for _, other := range rows[1:] {
			for i, v := range other.Values {
				if rows[0].Method != ByDecomposition || v >= rows[0].Values[i] {
					t.Errorf("%s: %s has %v, %s %v", other.Model, other.Method, v, rows[0].Method, rows[0].Values[i])
				}
			}
		}
	}
	if _, ok := Published("ablation"); ok {
		t.Error("the ablation has published numbers")
	}
}

func TestPublishedOf(t *testing.T) {
	birds, _ := Published("waterbirds")
	for name, want := range map[string]string{
		"deit_base_patch16_224":                              "DeiT",
		"hf:timm/deit_base_patch16_224.fb_in1k":              "DeiT",
		"hf:timm/vit_base_patch16_224.dino@0123456789abcdef": "DINO",
		"models/vit_base_patch16_224.dino":                   "DINO",
		`C:\models\vit_base_patch16_224.dino\`:               "DINO",
		"hf:timm/vit_base_patch14_dinov2.lvd142m":            "DINOv2",
		"hf:laion/CLIP-ViT-B-16-laion2B-s34B-b88K":           "CLIP",
		"ViT-B-16 laion2b_s34b_b88k":                         "CLIP",
		"ViT-B-16/laion2b_s34b_b88k":                         "", // the name of a directory is its last part
		"swin_base_patch4_window7_224.ms_in22k_ft_in1k":      "SWIN",
		"hf:timm/swin_base_patch4_window7_224.ms_in1k":       "", // other weights
		"maxvit_small_tf_224.in1k/":                          "MaxViT",
		"vit_base_patch16_224":                               "", // not the weights of DINO
		"hf:timm/vit_base_patch16_224.augreg2_in21k_ft_in1k": "",
		"deit-mini": "",
		"":          "",
		"hf:timm/vit_base_patch14_reg4_dinov2.lvd142m":         "",
		"hf:timm/deit_base_distilled_patch16_224.fb_in1k":      "",
		"hf:laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K":         "",
		"hf:timm/maxvit_small_tf_224.in1k":                     "MaxViT",
		"hf:timm/vit_base_patch16_clip_224.laion2b_ft_in12k":   "",
		"deit_base_patch16_224/deit_base_patch16_224/finetune": "",
	} {
		got := ""
		if rows := birds.Of(name); len(rows) == 1 {
			got = rows[0].Model
		} else if len(rows) > 1 {
			t.Errorf("%q is %d models", name, len(rows))
		}
		if got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestCompareWaterbirds(t *testing.T) {
	model := func(name string, ablated, steps int) ModelWaterbirds {
		m := ModelWaterbirds{Model: name, Ablated: ablated}
		for g := range 4 {
			accuracy := make([]float64, steps)
			for k := range accuracy {
				accuracy[k] = 0.5 + 0.1*float64(g) + 0.001*float64(k)
			}
			m.Groups = append(m.Groups, BirdGroup{Accuracy: accuracy})
		}
		return m
	}
	nan := model("vit_base_patch14_dinov2.lvd142m", 10, 11)
	nan.Groups[2].Accuracy[10] = math.NaN()
	result := WaterbirdsResult{Models: []ModelWaterbirds{
		model("deit", 10, 20), model("clip", 5, 20), model("maxvit_small_tf_224.in1k", 10, 10), nan, model("deit-mini", 10, 20),
	}}
	names := map[string]string{"deit": "hf:timm/deit_base_patch16_224.fb_in1k", "clip": "hf:laion/CLIP-ViT-B-16-laion2B-s34B-b88K"}
	c := CompareWaterbirds(result, names, "")
	if len(c.Compared) != 6 || c.URL == "" || c.Source == "" || len(c.Measures) != 4 {
		t.Fatalf("comparison %+v", c)
	}
	for _, row := range c.Compared {
		want := map[string]string{
			"DeiT": "", "CLIP": "5 components are ablated here, 10 in the paper", "MaxViT": "the result has no accuracies for it",
			"DINOv2": "the result is not a number",
		}
		why, ok := want[row.Model]
		if !ok {
			why = "not among the models of this run"
		}
		if row.Why != why || (row.Ours == nil) != (why != "") {
			t.Errorf("%s: ours %v because %q, want because %q", row.Model, row.Ours, row.Why, why)
		}
		if row.Ours != nil {
			for i, want := range []float64{0.5, 0.51, 0.65, 0.66} {
				if math.Abs(row.Ours[i]-want) > 1e-12 {
					t.Errorf("%s: %s is %v, want %v", row.Model, c.Measures[i], row.Ours[i], want)
				}
			}
		}
	}
	for _, row := range CompareWaterbirds(result, names, "the pictures are drawn").Compared {
		if row.Ours != nil || row.Why == "" {
			t.Errorf("%s: ours %v because %q with other data", row.Model, row.Ours, row.Why)
		}
		if row.Model == "DeiT" && row.Why != "the pictures are drawn" {
			t.Errorf("nothing to compare because %q", row.Why)
		}
	}
}

func TestCompareSegmentation(t *testing.T) {
	result := SegmentationResult{Models: []ModelSegmentation{{Model: "deit_base_patch16_224", Scores: []MethodScore{
		{ByDecomposition, SegmentationScore{PixelAccuracy: 0.77, MIoU: 0.53, MAP: 0.83}},
		{ByGradCAM, SegmentationScore{PixelAccuracy: 0.65, MIoU: 0.46, MAP: 0.71}},
	}}}}
	for _, row := range CompareSegmentation(result, nil, "").Compared {
		var want []float64
		why := "not among the models of this run"
		if row.Model == "DeiT" {
			switch row.Method {
			case ByDecomposition:
				want, why = []float64{0.77, 0.53, 0.83}, ""
			case ByGradCAM:
				want, why = []float64{0.65, 0.46, 0.71}, ""
			case ByChefer:
				why = "Chefer was not run"
			}
		}
		if !slices.Equal(row.Ours, want) || row.Why != why {
			t.Errorf("%s, %s: ours %v because %q, want %v because %q", row.Model, row.Method, row.Ours, row.Why, want, why)
		}
	}
}
