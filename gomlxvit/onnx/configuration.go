package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"vitdecompose/gomlxvit/preprocess"
)

// How pictures become pixels stands in files beside the model: preprocessor_config.json as Hugging Face's transformers writes
// it, or config.json as timm does; config.json of either names the classes.
const (
	processorFile = "preprocessor_config.json"
	configFile    = "config.json"
	maxConfig     = 64 << 20 // bytes
)

// side is a size as transformers writes it: a number, or an object.
type side struct {
	Height, Width, ShortestEdge int
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *side) UnmarshalJSON(text []byte) error {
	var number int
	if json.Unmarshal(text, &number) == nil {
		*s = side{ShortestEdge: number}
		return nil
	}
	var object struct {
		Height       int `json:"height"`
		Width        int `json:"width"`
		ShortestEdge int `json:"shortest_edge"`
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return errors.New("a size is a number or has height and width or shortest_edge")
	}
	*s = side{object.Height, object.Width, object.ShortestEdge}
	return nil
}

// length is one number for the size, 0 for none.
func (s side) length() int { return max(s.Height, s.ShortestEdge) }

// processor is what is read of preprocessor_config.json.
type processor struct {
	Mean       []float32 `json:"image_mean"`
	Std        []float32 `json:"image_std"`
	Size       side      `json:"size"`
	Crop       side      `json:"crop_size"`
	CenterCrop *bool     `json:"do_center_crop"`
	Normalize  *bool     `json:"do_normalize"`
	Resample   *int      `json:"resample"`
	CropPct    float64   `json:"crop_pct"`
}

// description is what is read of config.json, of transformers and of timm.
type description struct {
	Labels     map[string]string `json:"id2label"`
	ImageSize  any               `json:"image_size"`
	LabelNames []string          `json:"label_names"`
	Pretrained *struct {
		Mean          []float32 `json:"mean"`
		Std           []float32 `json:"std"`
		InputSize     []int     `json:"input_size"`
		CropPct       float64   `json:"crop_pct"`
		CropMode      string    `json:"crop_mode"`
		Interpolation string    `json:"interpolation"`
		LabelNames    []string  `json:"label_names"`
	} `json:"pretrained_cfg"`
}

// configuration is what the files beside a model say.
type configuration struct {
	preprocess preprocess.Config
	known      bool // whether they say how pixels are normalised
	size       int  // of the pictures, 0 for nothing said
	classes    []string
}

// filters are Pillow's numbers of filters.
var filters = map[int]string{0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}

// readConfiguration reads the files beside a model, or in the directory above when that is called onnx, as the Hub has it.
func readConfiguration(path string) (*configuration, error) {
	dir := filepath.Dir(path)
	c := &configuration{preprocess: preprocess.Config{Library: preprocess.Timm, Interpolation: "bicubic", CropPct: 1, CropMode: "center"}}
	var p *processor
	var d *description
	read := func(name string, to any) (bool, error) {
		for _, place := range []string{dir, filepath.Dir(dir)} {
			if place != dir && filepath.Base(dir) != "onnx" {
				continue
			}
			file := filepath.Join(place, name)
			f, err := os.Open(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return false, err
			}
			content, err := io.ReadAll(io.LimitReader(f, maxConfig))
			if err = errors.Join(err, f.Close()); err != nil {
				return false, fmt.Errorf("%s: %w", file, err)
			}
			if err := json.Unmarshal(content, to); err != nil {
				return false, fmt.Errorf("%s: not as transformers or timm write it: %w", file, err)
			}
			return true, nil
		}
		return false, nil
	}
	for name, to := range map[string]any{processorFile: &p, configFile: &d} {
		if _, err := read(name, to); err != nil {
			return nil, err
		}
	}
	if d != nil {
		if err := c.describe(d); err != nil {
			return nil, fmt.Errorf("%s: %w", configFile, err)
		}
	}
	if p != nil {
		if err := c.process(p); err != nil {
			return nil, fmt.Errorf("%s: %w", processorFile, err)
		}
	}
	return c, nil
}

// triple copies the three numbers of a mean or deviation.
func triple(name string, values []float32, to *[3]float32) error {
	if len(values) != 3 {
		return fmt.Errorf("%s has %d numbers instead of 3", name, len(values))
	}
	copy(to[:], values)
	return nil
}

func (c *configuration) describe(d *description) error {
	c.classes = d.LabelNames
	if n := len(d.Labels); n > 0 && n < 1<<24 {
		c.classes = make([]string, n)
		for key, name := range d.Labels {
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= n {
				return fmt.Errorf("id2label has a class %q among %d", key, n)
			}
			c.classes[i] = name
		}
	}
	if size, ok := d.ImageSize.(float64); ok && size > 0 && size <= 1<<14 {
		c.size = int(size)
	}
	t := d.Pretrained
	if t == nil || len(t.Mean) == 0 {
		return nil
	}
	c.known = true
	if err := triple("mean", t.Mean, &c.preprocess.Mean); err != nil {
		return err
	}
	if err := triple("std", t.Std, &c.preprocess.Std); err != nil {
		return err
	}
	if t.CropPct > 0 {
		c.preprocess.CropPct = t.CropPct
	}
	if t.CropMode != "" {
		c.preprocess.CropMode = t.CropMode
	}
	if t.Interpolation != "" {
		c.preprocess.Interpolation = t.Interpolation
	}
	if len(t.InputSize) == 3 {
		c.size = t.InputSize[1]
	}
	if len(t.LabelNames) > 0 {
		c.classes = t.LabelNames
	}
	return nil
}

func (c *configuration) process(p *processor) error {
	c.known = true
	mean, std := p.Mean, p.Std
	if p.Normalize != nil && !*p.Normalize {
		mean, std = []float32{0, 0, 0}, []float32{1, 1, 1}
	}
	if len(mean) == 0 && len(std) == 0 {
		mean, std = []float32{0.5, 0.5, 0.5}, []float32{0.5, 0.5, 0.5}
	}
	if err := triple("image_mean", mean, &c.preprocess.Mean); err != nil {
		return err
	}
	if err := triple("image_std", std, &c.preprocess.Std); err != nil {
		return err
	}
	if p.Resample != nil {
		filter, ok := filters[*p.Resample]
		if !ok {
			return fmt.Errorf("resample %d is no filter of Pillow", *p.Resample)
		}
		c.preprocess.Interpolation = filter
	}
	crop, size := p.Crop.length(), p.Size.length()
	switch {
	case p.CenterCrop != nil && *p.CenterCrop && crop > 0 && p.Size.ShortestEdge > 0:
		c.size, c.preprocess.CropPct = crop, float64(crop)/float64(p.Size.ShortestEdge)
	case p.CropPct > 0 && p.Size.ShortestEdge > 0: // ConvNeXt's
		c.size, c.preprocess.CropPct = p.Size.ShortestEdge, p.CropPct
	case size > 0: // to height and width, whatever the picture's shape
		c.size, c.preprocess.CropPct, c.preprocess.CropMode = size, 1, "squash"
	}
	return nil
}
