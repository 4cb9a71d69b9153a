package experiments_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/golden"
)

// TestRealAblation runs a trained ViT-Ti on 180 photos and compares the top classes, the logits and both ablation curves
// with what timm 1.0.31 and PyTorch 2.15 say of them.
func TestRealAblation(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if !optimised(t) {
		return
	}
	dir := golden.Shared(t, "real")
	var reference struct {
		FromInit []float64 `json:"accuracy_ablating_from_init"`
		FromLast []float64 `json:"accuracy_ablating_from_last"`
		Order    []string  `json:"ablation_order_from_init"`
		Photos   []struct {
			File  string
			Top5  []int
			Logit []float64
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	b, err := session.Backend()
	if err != nil {
		t.Fatal(err)
	}
	ckpt, err := checkpoint.Open(filepath.Join(dir, "vit_tiny_patch16_224"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := gomlxvit.FromCheckpoint(ckpt, gomlxvit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ds, err := data.Open("folder:"+filepath.Join(dir, "photos"), data.Options{Labels: filepath.Join(dir, "labels.csv")})
	if err != nil {
		t.Fatal(err)
	}
	e := extraction.Extraction{Backend: b, Model: model, Data: ds, Batch: 12, CacheDir: t.TempDir()}

	curve, err := experiments.Ablation(context.Background(), sessionOf(t, e), experiments.AblationConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if curve.Exactness > 1e-5 {
		t.Errorf("components sum to the representation within %.2g, allowed 1e-5", curve.Exactness)
	}
	if !slices.Equal(curve.Order, reference.Order) {
		t.Fatalf("order of ablation %v, want %v", curve.Order, reference.Order)
	}
	for name, pair := range map[string][2][]float64{
		"from init": {curve.FromInit, reference.FromInit}, "from last": {curve.FromLast, reference.FromLast},
	} {
		for step, want := range pair[1] {
			if off := math.Abs(pair[0][step]-want) * float64(ds.Len()); off > 2.01 {
				t.Errorf("%s, step %d: accuracy %.4f, reference %.4f: %.0f photos apart, allowed 2", name, step, pair[0][step], want, off)
			}
		}
	}

	// What the ablation kept has the logits too.
	e.Options.Split, e.Options.Biases = decompose.Attns, decompose.BiasesShared
	store, err := e.Extract(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	var differences []float64
	for chunk, err := range store.Chunks() {
		if err != nil {
			t.Fatal(err)
		}
		for i, index := range chunk.Index {
			photo := reference.Photos[index]
			if photo.File != ds.Item(index).Name {
				t.Fatalf("photo %d is %s, want %s", index, ds.Item(index).Name, photo.File)
			}
			logits := chunk.Logits[i*chunk.Classes():][:chunk.Classes()]
			if statistics.Top(logits, 1)[0] == photo.Top5[0] {
				same++
			}
			differences = append(differences, math.Abs(float64(logits[photo.Top5[0]])-photo.Logit[0]))
		}
	}
	slices.Sort(differences)
	median := differences[len(differences)/2]
	t.Logf("%d of %d photos have the reference's top class; median logit difference %.4f, largest %.4f", same, len(differences), median, differences[len(differences)-1])
	if len(differences) != 180 || same < 176 {
		t.Errorf("%d of %d photos have the reference's top class, want 176 of 180", same, len(differences))
	}
	if median > 0.15 {
		t.Errorf("median logit difference %.3f, want below 0.15", median)
	}
}
