package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vitdecompose/experiments/option"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/discover"
	"vitdecompose/gomlxvit/onnx"
)

// onnxFile is the ONNX file that the name of a model means, "" where it means none: a file called so, or a directory with such
// a file and no weights in another form.
func onnxFile(name string) string {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return ""
	case !info.IsDir():
		if strings.EqualFold(filepath.Ext(name), ".onnx") {
			return name
		}
		return ""
	}
	for _, weights := range []string{"*.safetensors", "*.bin", "*.pth", "*.pt", "*.tar", "*.npz"} {
		if found, err := filepath.Glob(filepath.Join(name, weights)); err != nil || len(found) > 0 {
			return ""
		}
	}
	file, err := onnx.Find(name)
	if err != nil {
		return ""
	}
	return file
}

// openONNX opens a model whose parts are found in its graph.
func openONNX(file string, options *Options) (*gomlxvit.Model, error) {
	if options.Config != "" || options.Arch != "" {
		return nil, errors.New("option Config and option Arch do not go with an ONNX file, which holds its own graph")
	}
	own := onnx.Options{Output: options.Output, Size: options.ImageSize}
	for _, o := range []struct {
		field  string
		values []float64
		to     **[3]float32
	}{{"Mean", options.Mean, &own.Mean}, {"Std", options.Std, &own.Std}} {
		switch len(o.values) {
		case 0:
		case 3:
			*o.to = &[3]float32{float32(o.values[0]), float32(o.values[1]), float32(o.values[2])}
		default:
			return nil, &option.Error{Field: o.field, Err: fmt.Errorf("%d numbers are given, and red, green and blue want three", len(o.values))}
		}
	}
	model, err := onnx.Open(file, own)
	if err != nil {
		return nil, err
	}
	model.Assumptions = append(model.Assumptions, "its parts were found in its computation graph")
	if found, ok := model.Arch.(*discover.Architecture); ok {
		model.Assumptions = append(model.Assumptions, found.Notes()...)
	}
	return model, nil
}
