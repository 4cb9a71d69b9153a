package zoo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data"
	"vitdecompose/data/scenes"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
)

// Score is how a model did in one test.
type Score struct {
	Test     string  `json:"test"`
	Accuracy float64 `json:"accuracy"`
}

// probeScenes is how many scenes, of the seed probeSeed, a linear head of a model
// without one is trained on.
const (
	probeScenes = 8000
	probeSeed   = 1
)

// evaluate tests a model on held-out scenes: its head, a CLIP's heads made of
// words, or the linear head that opts.Probe trains, then also for a model of the
// same kind that was not trained.
func evaluate(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, opts Options) ([]Score, error) {
	heldOut := scenes.New(heldOutSeed, opts.HeldOut).Of(opts.Sees)
	var scores []Score
	test := func(name string, model *gomlxvit.Model, on data.Dataset) error {
		accuracy, err := Accuracy(ctx, backend, model, on)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		scores = append(scores, Score{name, accuracy})
		return nil
	}
	switch {
	case model.Text != nil:
		for _, question := range []struct {
			test      string
			names     []string
			templates gomlxvit.Templates
			on        data.Dataset
		}{
			{"zero-shot over classes", scenes.Classes, nil, heldOut},
			{"zero-shot over places", scenes.Places, placeTemplates, byPlace{heldOut}},
		} {
			asked, err := model.WithZeroShotHead(ctx, backend, question.names, question.templates)
			if err != nil {
				return nil, err
			}
			if err := test(question.test, asked, question.on); err != nil {
				return nil, err
			}
		}
	case model.Arch.NumClasses() > 0:
		return scores, test("own head", model, heldOut)
	case opts.Probe != nil:
		random := gomlxvit.RandomOf(model.Name+" not trained", model.Arch, 1)
		random.Preprocess = model.Preprocess
		for _, probed := range []struct {
			test  string
			model *gomlxvit.Model
		}{{"linear head", model}, {"linear head on the same model with random weights", random}} {
			headed, err := opts.Probe(ctx, backend, probed.model, scenes.New(probeSeed, probeScenes))
			if err != nil {
				return nil, err
			}
			if err := test(probed.test, headed, heldOut); err != nil {
				return nil, err
			}
		}
	}
	return scores, nil
}

// placeTemplates ask for a place whatever the object: they name all of them.
var placeTemplates = func() (t gomlxvit.Templates) {
	for _, object := range scenes.Classes {
		for _, wording := range []string{"a photo of a %s in the {}", "a picture of a %s at a {}", "a %s on the {}"} {
			t = append(t, gomlxvit.Template(fmt.Sprintf(wording, object)))
		}
	}
	return t
}()

// byPlace labels scenes with the index of their place instead of their class.
type byPlace struct{ *scenes.Dataset }

// Item implements data.Dataset.
func (d byPlace) Item(i int) data.Item {
	item := d.Dataset.Item(i)
	item.Label = slices.Index(scenes.Places, d.Spec(i).Place)
	return item
}

// Classes implements data.Dataset.
func (d byPlace) Classes() []string { return scenes.Places }

// Accuracy is the share of a data set's pictures that the model's head gives
// the right class.
func Accuracy(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, ds data.Dataset) (float64, error) {
	program, err := model.Compile(backend, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		logits := model.Arch.Head(w, model.Arch.Representation(w, in[0]))
		return []*graph.Node{graph.ArgMax(logits, -1, dtypes.Int32)}
	})
	if err != nil {
		return 0, err
	}
	defer program.Close()
	right, total := 0, 0
	for batch, err := range preprocess.Load(ctx, ds, model.Preprocess, preprocess.LoadOptions{Batch: 100}) {
		if err != nil {
			return 0, err
		}
		if len(batch.Skipped) > 0 {
			return 0, batch.Skipped[0]
		}
		c := model.Preprocess
		outputs, err := program.Run(tensors.FromFlatDataAndDimensions(batch.Pixels, batch.N, 3, c.Size[0], c.Size[1]))
		if err != nil {
			return 0, err
		}
		if err := tensors.ConstFlatData(outputs[0], func(classes []int32) {
			for i, class := range classes {
				total++
				if int(class) == ds.Item(batch.Indices[i]).Label {
					right++
				}
			}
		}); err != nil {
			return 0, err
		}
	}
	if total == 0 {
		return 0, errors.New("accuracy: no pictures")
	}
	return float64(right) / float64(total), nil
}
