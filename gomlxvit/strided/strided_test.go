package strided_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"vitdecompose/gomlxvit/safetensors"
	"vitdecompose/gomlxvit/strided"
)

// counting is a storage of the numbers 0, 1, 2, ...
func counting(n int) strided.Storage {
	var content []byte
	for i := range n {
		content = binary.LittleEndian.AppendUint32(content, math.Float32bits(float32(i)))
	}
	return bytes.NewReader(content)
}

func TestViews(t *testing.T) {
	whole := strided.Contiguous(counting(24), safetensors.F32, []int{2, 3, 4})
	joined, ok := whole.Joined(1)
	if !ok {
		t.Fatal("the axes 1 and 2 cannot be joined")
	}
	if _, ok := whole.Permuted(1, 0, 2).Joined(0); ok {
		t.Error("axes that were swapped are joined")
	}
	for name, test := range map[string]struct {
		view  strided.Tensor
		shape []int
		first []float32
	}{
		"whole":      {whole, []int{2, 3, 4}, []float32{0, 1, 2, 3, 4}},
		"permuted":   {whole.Permuted(2, 0, 1), []int{4, 2, 3}, []float32{0, 4, 8, 12, 16, 20, 1}},
		"part":       {whole.At(1), []int{3, 4}, []float32{12, 13, 14, 15, 16}},
		"joined":     {joined.Permuted(1, 0), []int{12, 2}, []float32{0, 12, 1, 13}},
		"expanded":   {strided.Tensor{DType: safetensors.F32, Shape: []int{2, 2}, Strides: []int{0, 3}, Offset: 5, Storage: counting(9)}, []int{2, 2}, []float32{5, 8, 5, 8}},
		"one number": {strided.Tensor{DType: safetensors.F32, Offset: 5, Storage: counting(9)}, nil, []float32{5}},
	} {
		if err := test.view.Check(24); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := test.view.Float32()
		if err != nil || !slices.Equal(test.view.Shape, test.shape) || len(got) != test.view.Len() || !slices.Equal(got[:len(test.first)], test.first) {
			t.Errorf("%s: %v %v (%v), want %v %v ...", name, test.view.Shape, got, err, test.shape, test.first)
		}
	}
}

func TestCheck(t *testing.T) {
	for want, view := range map[string]strided.Tensor{
		"type":              {DType: "F4", Storage: counting(9)},
		"2 axes with 1":     {DType: safetensors.F32, Shape: []int{1, 1}, Strides: []int{1}, Storage: counting(9)},
		"negative":          {DType: safetensors.F32, Shape: []int{1}, Strides: []int{1}, Offset: -1, Storage: counting(9)},
		"more numbers":      {DType: safetensors.F32, Shape: []int{5, 5}, Strides: []int{0, 0}, Storage: counting(9)},
		"reaches number 10": {DType: safetensors.F32, Shape: []int{3}, Strides: []int{5}, Storage: counting(9)},
		"reaches number 9":  {DType: safetensors.F32, Shape: []int{9}, Strides: []int{1}, Offset: 1, Storage: counting(9)},
	} {
		if err := view.Check(24); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	if err := (strided.Tensor{DType: safetensors.F32, Shape: []int{0}, Strides: []int{1}, Offset: 99, Storage: counting(9)}).Check(24); err != nil {
		t.Errorf("a tensor of nothing: %v", err)
	}
}
