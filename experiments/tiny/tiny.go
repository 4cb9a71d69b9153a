// Package tiny has what tests of the experiments share: a model and pictures that are so small that they are done at once,
// the shipped models, opened once, and sessions by name.
package tiny

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/stretchr/testify/require"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/backend"
	"vitdecompose/gomlxvit/checkpoint"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/safetensors"
)

// What [Model] is made for.
const Side, Dim, Classes = 16, 12, 5

// pureGo is the backend for the tests' model, which is so small that it is done before XLA has compiled.
var pureGo = sync.OnceValues(func() (compute.Backend, error) { return backend.Open("go") })

// Backend is the pure-Go one, for a model that is done before XLA has compiled.
func Backend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := pureGo()
	require.NoError(t, err)
	return b
}

// Model is a ViT of 2 blocks, 2 heads and 5 classes for 16 x 16 pictures in 4 patches, with random weights that are
// large enough for every part to matter.
func Model(t testing.TB, changes ...func(args map[string]any)) *gomlxvit.Model {
	t.Helper()
	args := map[string]any{
		"img_size": float64(Side), "patch_size": 8.0, "embed_dim": float64(Dim), "depth": 2.0, "num_heads": 2.0,
		"num_classes": float64(Classes),
	}
	for _, change := range changes {
		change(args)
	}
	arch, err := gomlxvit.Timm("vit_tiny_patch16_224", args)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 0))
	var tensors []safetensors.Tensor
	for _, p := range arch.Params() {
		size := 1
		for _, d := range p.Dims {
			size *= d
		}
		numbers := make([]float32, size)
		for i := range numbers {
			numbers[i] = float32(rng.NormFloat64() * 0.4)
			if strings.Contains(p.Name, "norm") && strings.HasSuffix(p.Name, "weight") {
				numbers[i]++
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Dims, Data: numbers})
	}
	file := t.TempDir() + "/model.safetensors"
	require.NoError(t, safetensors.Write(file, nil, tensors))
	weights, err := safetensors.Open(file)
	require.NoError(t, err)
	defer weights.Close()
	model, err := gomlxvit.FromCheckpoint(&checkpoint.Checkpoint{
		Ref: "tiny", Library: checkpoint.Timm, Architecture: "vit_tiny_patch16_224", NumClasses: arch.NumClasses(), ModelArgs: args,
		Preprocess: preprocess.Config{
			Library: "timm", Size: [2]int{Side, Side}, Interpolation: "bicubic", CropPct: 1, CropMode: "center",
			Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.3, 0.3, 0.3},
		},
		Weights: weights, Hash: "tiny",
	}, gomlxvit.Options{})
	require.NoError(t, err)
	return model
}

// Noise is a data set of random pictures. Picture i is the same in all of them.
type Noise struct {
	N          int
	ClassNames []string
	Label      func(i int) int // nil: i modulo [Classes]
	Bad        map[int]bool    // pictures that cannot be read
	Drawn      func(i int)     // called for every picture that is requested; may be nil
}

// Len implements data.Dataset.
func (d Noise) Len() int { return d.N }

// Classes implements data.Dataset.
func (d Noise) Classes() []string { return d.ClassNames }

// Item implements data.Dataset.
func (d Noise) Item(i int) data.Item {
	label := i % Classes
	if d.Label != nil {
		label = d.Label(i)
	}
	return data.Item{Name: fmt.Sprintf("noise-%d", i), Label: label}
}

// Hash implements data.Dataset.
func (d Noise) Hash() (string, error) { return fmt.Sprintf("noise of %d", d.N), nil }

// Picture implements data.Dataset.
func (d Noise) Picture(i int) (*picture.Picture, error) {
	if d.Drawn != nil {
		d.Drawn(i)
	}
	if d.Bad[i] {
		return nil, fmt.Errorf("noise-%d is too noisy", i)
	}
	p := picture.New(picture.RGB, Side, Side)
	rng := rand.New(rand.NewPCG(11, uint64(i)))
	for j := range p.Pix {
		p.Pix[j] = byte(rng.IntN(256))
	}
	return p, nil
}
