package gomlxvit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit/preprocess"
)

// NewModel puts together a model of an architecture that is not in the registry, and its weights, float32, by name. Every
// weight must be one of [Architecture].Params and every one of those must be there with its shape. Pictures are prepared as
// timm prepares them for most vision transformers, unless Preprocess is set afterwards.
func NewModel(name string, arch Architecture, weights map[string]*tensors.Tensor) (*Model, error) {
	known := make(map[string]bool)
	for _, p := range arch.Params() {
		known[p.Name] = true
		t := weights[p.Name]
		switch {
		case t == nil:
			return nil, fmt.Errorf("%s: the weight %s is missing", name, p.Name)
		case t.DType() != dtypes.Float32:
			return nil, fmt.Errorf("%s: the weight %s is %s, not float32", name, p.Name, t.DType())
		case !slices.Equal(t.Shape().Dimensions, p.Dims):
			return nil, fmt.Errorf("%s: the weight %s is %v, not %v", name, p.Name, t.Shape().Dimensions, p.Dims)
		}
	}
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(weights)) {
		if !known[key] {
			return nil, fmt.Errorf("%s: the architecture has no weight %s", name, key)
		}
		numbers, err := tensors.CopyFlatData[float32](weights[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, key, err)
		}
		fmt.Fprintf(sum, "%s %v\n", key, weights[key].Shape().Dimensions)
		if err := binary.Write(sum, binary.LittleEndian, numbers); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, key, err)
		}
	}
	return &Model{
		Name: name, ArchName: name, Arch: arch, Hash: hex.EncodeToString(sum.Sum(nil)), Preprocess: standardPreprocess(arch.InputSize()),
		weights: maps.Clone(weights), devices: new(deviceWeights), encoders: new(textEncoders), operands: dtypes.Float32,
	}, nil
}

// standardPreprocess is how timm prepares pictures for most vision transformers.
func standardPreprocess(size int) preprocess.Config {
	return preprocess.Config{
		Library: "timm", Size: [2]int{size, size}, Interpolation: "bicubic",
		CropPct: 0.9, CropMode: "center", Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5},
	}
}
