package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"time"

	"github.com/gomlx/compute"
	"golang.org/x/image/draw"

	"vitdecompose/data"
	"vitdecompose/data/picture"
	"vitdecompose/data/progress"
	"vitdecompose/data/scenes"
	"vitdecompose/decompose"
	"vitdecompose/experiments/cache"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/memory"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/preprocess"
)

// PipelineConfig says what extraction is measured: the one of a study, from JPEG files to a store.
type PipelineConfig struct {
	// Pictures is how many pictures go through; 0 means all of Data. Without Data they are [DrawnPhotos].
	Pictures int          `json:"pictures"`
	Data     data.Dataset `json:"-"`
	Batch    int          `json:"batch"`
	// Devices, Keep, Orient and MaxBad are as in [extraction.Extraction].
	Devices int    `json:"devices"`
	Keep    string `json:"keep"`
	Orient  bool   `json:"orient,omitempty"`
	MaxBad  int    `json:"max_bad,omitempty"`
	// First and Last are the blocks that are taken apart.
	First int `json:"first_block"`
	Last  int `json:"last_block"`
	// Dir is the directory for the store, which is removed in the end; empty for that of temporary files.
	Dir string `json:"-"`
	// Progress is called after every batch; it may be nil.
	Progress progress.Reporter `json:"-"`
}

// PipelineResult is a measured extraction. The first batch of each device, which compiles, is not in rates and shares.
type PipelineResult struct {
	Config    PipelineConfig `json:"config"`
	Model     string         `json:"model"`
	Precision string         `json:"precision"`
	Backend   string         `json:"backend"`
	Devices   int            `json:"devices_used"`
	Pictures  int            `json:"pictures"`
	Seconds   float64        `json:"seconds"` // from the end of the first batch on
	Rate      float64        `json:"images_per_second"`
	// LoadRate is how many pictures all cores decode and scale in a second while no device computes: [loadedAlone] of them.
	LoadRate float64 `json:"loading_images_per_second"`
	// Waiting is the share of their time that devices stood idle, for want of decoded pictures or because what they had
	// computed was not written yet.
	Waiting float64 `json:"waiting"`
	// CompileSeconds is how long the first batch took.
	CompileSeconds float64 `json:"compile_seconds"`
	// Bytes are those of the store.
	Bytes int64 `json:"bytes"`
	// EarlyPeakBytes is the most memory the process took until a tenth of the pictures was through (at least a batch of
	// each device), LaterPeakBytes from then to the end; 0 where that cannot be read.
	EarlyPeakBytes uint64 `json:"early_peak_bytes"`
	LaterPeakBytes uint64 `json:"later_peak_bytes"`
}

// Pipeline measures an extraction as a whole: reading, decoding and scaling pictures, taking them apart, writing what
// came out.
func Pipeline(ctx context.Context, backend compute.Backend, model *gomlxvit.Model, cfg PipelineConfig) (result *PipelineResult, err error) {
	if cfg.Data == nil {
		if cfg.Data, err = NewDrawnPhotos(max(1, cfg.Pictures)); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(cfg.Dir, "vitdecompose-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	e := extraction.Extraction{
		Backend: backend, Model: model, Data: cfg.Data, Pictures: cfg.Pictures, Batch: cfg.Batch, Keep: cfg.Keep, Devices: cfg.Devices,
		Orient: cfg.Orient, MaxBad: cfg.MaxBad,
		Options: decompose.Options{First: cfg.First, End: cfg.Last + 1}, CacheDir: dir, Progress: cfg.Progress,
	}
	e.SetDefaults()
	result = &PipelineResult{
		Config: cfg, Model: model.Name, Precision: model.Precision(), Backend: backend.Description(), Devices: e.Devices, Pictures: e.Pictures,
	}
	if result.LoadRate, err = loadRate(ctx, e); err != nil {
		return nil, err
	}
	var waited, computed time.Duration
	through, measured, began := 0, 0, make(map[int]bool)
	var start time.Time
	memory.ResetPeak()
	e.Observe = func(s extraction.Step) {
		through += s.Pictures
		switch {
		case !began[s.Device]:
			began[s.Device] = true
			result.CompileSeconds = max(result.CompileSeconds, s.Computed.Seconds())
			if start.IsZero() {
				start = time.Now()
			}
		default:
			waited, computed, measured = waited+s.Waited, computed+s.Computed, measured+s.Pictures
		}
		if result.EarlyPeakBytes == 0 && len(began) == e.Devices && through*10 >= e.Pictures {
			result.EarlyPeakBytes = memory.Peak()
			memory.ResetPeak()
		}
	}
	store, err := e.Extract(ctx)
	if err != nil {
		return nil, err
	}
	result.Seconds, result.LaterPeakBytes = time.Since(start).Seconds(), memory.Peak()
	if measured == 0 {
		return nil, errors.Join(fmt.Errorf("%d pictures in batches of %d are too few: each device needs two batches", e.Pictures, e.Batch), store.Close())
	}
	result.Rate = float64(measured) / result.Seconds
	result.Waiting = waited.Seconds() / (waited + computed).Seconds()
	entries, err := cache.List(dir)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	result.Bytes = entries[0].Bytes
	return result, store.Close()
}

// loadedAlone is how many pictures are loaded without a device, at most.
const loadedAlone = 500

// loadRate is the pictures per second of decoding and scaling alone.
func loadRate(ctx context.Context, e extraction.Extraction) (float64, error) {
	some := data.First(e.Data, min(loadedAlone, e.Pictures))
	start := time.Now()
	for _, err := range preprocess.Load(ctx, some, e.Model.Preprocess, preprocess.LoadOptions{Batch: e.Batch, Orient: e.Orient, MaxBad: e.MaxBad}) {
		if err != nil {
			return 0, err
		}
	}
	return float64(some.Len()) / time.Since(start).Seconds(), nil
}

// DrawnPhotos is a data set for measuring: drawn scenes as JPEG files of the size that pictures of ImageNet have on
// average, 500 x 375, held in memory. There are 64 of them, which take turns.
type DrawnPhotos struct {
	files [][]byte
	n     int
}

// NewDrawnPhotos is a data set of n pictures.
func NewDrawnPhotos(n int) (*DrawnPhotos, error) {
	d := &DrawnPhotos{n: n}
	for i := range min(n, 64) {
		large := image.NewRGBA(image.Rect(0, 0, 500, 375))
		small := scenes.Draw(0, uint64(i)).Picture().Image()
		draw.CatmullRom.Scale(large, large.Bounds(), small, small.Bounds(), draw.Src, nil)
		var file bytes.Buffer
		if err := jpeg.Encode(&file, large, &jpeg.Options{Quality: 95}); err != nil {
			return nil, err
		}
		d.files = append(d.files, file.Bytes())
	}
	return d, nil
}

// Len implements [data.Dataset].
func (d *DrawnPhotos) Len() int { return d.n }

// Classes implements [data.Dataset].
func (d *DrawnPhotos) Classes() []string { return nil }

// Item implements [data.Dataset].
func (d *DrawnPhotos) Item(i int) data.Item {
	return data.Item{Name: fmt.Sprintf("drawn-%07d.jpg", i), Label: -1}
}

// Picture implements [data.Dataset]: it decodes a file.
func (d *DrawnPhotos) Picture(i int) (*picture.Picture, error) {
	return picture.Decode(bytes.NewReader(d.files[i%len(d.files)]), picture.Limits{})
}

// Hash implements [data.Dataset].
func (d *DrawnPhotos) Hash() (string, error) {
	sum := sha256.New()
	for _, file := range d.files {
		sum.Write(file)
	}
	fmt.Fprint(sum, d.n)
	return hex.EncodeToString(sum.Sum(nil)), nil
}
