package session

import (
	"cmp"
	"fmt"

	"vitdecompose/data/progress"
	"vitdecompose/decompose"
	"vitdecompose/experiments/option"
	"vitdecompose/gomlxvit/zoo"
)

// Options say what a session is about. The zero value is about deit-mini and 1000 drawn scenes. What the tags say is all that
// is said of an option: its flag, its default, what it may be, and its entry in result.json come from there (package option).
type Options struct {
	Model  string    `flag:"model" group:"model" default:"deit-mini" takes:"MODEL" help:"the model: a shipped one, a checkpoint directory, a file of weights or hf:owner/repo"`
	Config string    `flag:"config" group:"input" usual:"the checkpoint's" takes:"FILE" help:"configuration file of a model whose checkpoint has none (config.json, open_clip_config.json)"`
	Output string    `flag:"output" group:"input" usual:"the representation, or the input of the logits' last layer" takes:"NAME" help:"output of an ONNX file that is taken apart"`
	Mean   []float64 `flag:"mean" group:"input" usual:"as the configuration beside an ONNX file says" help:"mean of the pixels of an ONNX file's pictures, for red, green and blue"`
	Std    []float64 `flag:"std" group:"input" min:"1e-6" usual:"as the configuration beside an ONNX file says" help:"standard deviation of the pixels of an ONNX file's pictures, likewise"`
	Arch   string    `flag:"arch" group:"input" takes:"NAME" help:"architecture, by its name in timm or open_clip, of a model whose checkpoint does not say"`

	ImageSize     int    `flag:"image-size" group:"input" min:"1" usual:"the checkpoint's" help:"side of the input pictures (position embeddings are resampled)"`
	Precision     string `flag:"precision" group:"input" default:"float32" oneof:"float32|bfloat16" help:"type of the operands of matrix products: float32, or bfloat16, which is much faster on GPUs and TPUs and off by a few thousandths"`
	RandomWeights bool   `flag:"random-weights" group:"random" help:"give an architecture of the registry random weights"`
	Blocks        string `flag:"blocks" group:"blocks" usual:"those of the paper" takes:"RANGE" help:"blocks to take apart, such as 7..11, 7.. or, in a staged model, (2,14).."`

	ClassNames string `flag:"class-names" group:"classes" takes:"FILE" help:"file with the names of the classes: one a line, or CSV with the columns label and name; they give a CLIP its zero-shot head"`
	Templates  string `flag:"templates" group:"templates" usual:"a built-in set" takes:"FILE" help:"file with the wordings for texts about classes and features, one a line with {} for the class"`
	HeadData   string `flag:"head-data" group:"head" usual:"for scenes scenes:8000:1" takes:"PICTURES" help:"pictures to train a linear head on, for a model without one; named as for --data"`
	HeadLabels string `flag:"head-labels" group:"head" takes:"FILE" help:"CSV file with the columns file,label for the pictures of --head-data"`

	Data     string  `flag:"data" group:"data" default:"scenes:1000" takes:"PICTURES" help:"pictures: a directory (a sub-folder for each class), KIND:PATH, or scenes:N[:SEED[:PART]]"`
	Labels   string  `flag:"labels" group:"data" takes:"FILE" help:"CSV file with the columns file,label (class index) for the pictures of a directory"`
	Pictures int     `flag:"pictures" group:"data" min:"0" usual:"all" help:"take only the first N pictures"`
	Shuffle  *uint64 `flag:"shuffle" group:"data" usual:"their own" help:"take the pictures in a random order given by this seed"`

	Orient bool `flag:"orient" group:"orient" help:"turn photos upright by their EXIF orientation (timm and open_clip do not)"`
	MaxBad int  `flag:"max-bad" group:"bad" min:"0" help:"leave out up to N pictures that cannot be read"`
	Batch  int  `flag:"batch" group:"batch" default:"8" min:"1" max:"4096" help:"pictures computed at a time"`

	Keep     string `flag:"keep" group:"keep" default:"float32" oneof:"float32|float16|bfloat16" help:"type in which contributions are stored in the cache: float32, or float16 or bfloat16, which are rounded and take half the space"`
	Devices  int    `flag:"devices" group:"store" min:"1" usual:"all of an accelerator, one of a CPU" record:"no" help:"devices of the backend that share the work"`
	CacheDir string `flag:"cache" group:"store" usual:"the user's cache directory" record:"no" takes:"DIR" help:"directory where contributions, heads and alignments are kept"`

	Reference     string   `flag:"reference" group:"alignment" usual:"the shipped clip-ref-mini" takes:"MODEL" help:"the CLIP in whose space components are compared with texts: a shipped one, a checkpoint directory, a file of weights or hf:owner/repo (a model that is a CLIP needs none)"`
	AlignData     string   `flag:"align-data" group:"training" usual:"for scenes scenes:8000:1" takes:"PICTURES" help:"pictures to align on, named as for --data"`
	AlignPictures int      `flag:"align-pictures" group:"training" min:"0" usual:"all" help:"align on only the first N pictures of --align-data"`
	Lambda        *float64 `flag:"lambda" group:"alignment" default:"1" min:"0" help:"weight that keeps the maps into CLIP's space close to orthogonal; 0 leaves them free"`
	AlignEpochs   int      `flag:"align-epochs" group:"alignment" min:"1" usual:"2, or for at least 2000 steps" help:"how many times at most the alignment goes through its pictures"`
	AlignRate     float64  `flag:"align-rate" group:"alignment" min:"1e-12" usual:"3e-4, or 1e-3 with fewer than 640000 pictures" help:"learning rate of the alignment"`
	AlignBatch    int      `flag:"align-batch" group:"alignment" min:"1" usual:"32" help:"pictures in a batch of the alignment"`
	AlignPatience *int     `flag:"align-patience" group:"alignment" min:"0" usual:"50, or 0 with fewer than 640000 pictures" help:"stop the alignment after this many batches without a lower loss; 0 never stops it"`
	Aligner       string   `flag:"aligner" group:"aligner" takes:"FILE" help:"an alignment written by align, instead of training one"`

	Features string `flag:"features" group:"features" usual:"a list that fits the experiment and the pictures" takes:"LIST" help:"the features: a shipped list (scenes, retrieval, ranking, heatmaps, ...) or a file with a line FEATURE: INSTANCE, INSTANCE, ... for each feature"`
	Bank     string `flag:"bank" group:"bank" usual:"scenes, or general where the reference knows photographs" takes:"TEXTS" help:"the texts that describe components: a shipped bank (scenes, general) or a file with one a line"`
	Seed     uint64 `flag:"seed" group:"seed" help:"seed of everything that is drawn at random"`

	// OtherPictures says that an experiment names its pictures itself, and those of Data do not count.
	OtherPictures bool `json:"-"`

	// Progress shows how far long work has come, Warn is called with pictures left out and with cached files that were not
	// good, and Note with each assumption that changes a number; nil for silence.
	Progress progress.Reporter       `json:"-"`
	Warn     func(error)             `json:"-"`
	Note     func(assumption string) `json:"-"`
}

// Groups of options, as commands and experiments take them.
var (
	// Loading is how pictures are read and where what comes out is kept.
	Loading = []string{"input", "orient", "bad", "batch", "keep", "store"}
	// Classified is what a model with a head takes.
	Classified = append([]string{"data", "classes", "templates", "head"}, Loading...)
	// Read is what it takes to read components by text.
	Read = append([]string{"data", "blocks", "templates", "training", "alignment", "aligner", "seed"}, Loading...)
)

// setDefaults fills in what was left open. given is whether the pictures are given, rather than opened by their name.
func (o *Options) setDefaults(given bool) error {
	if given {
		o.Data = cmp.Or(o.Data, "pictures given")
	}
	if !o.OtherPictures && Drawn(cmp.Or(o.Data, DefaultPictures)) {
		o.AlignData = cmp.Or(o.AlignData, TrainingScenes)
	}
	if Drawn(cmp.Or(o.Data, DefaultPictures)) || given && zoo.Has(cmp.Or(o.Model, DefaultModel)) {
		o.HeadData = cmp.Or(o.HeadData, TrainingScenes)
	}
	return option.SetDefaults(o)
}

// align is the configuration of an alignment on that many pictures.
func (o *Options) align(pictures int) decompose.AlignConfig {
	config := decompose.DefaultAlignConfig(pictures)
	config.Lambda, config.Seed = *o.Lambda, o.Seed
	config.Epochs = cmp.Or(o.AlignEpochs, config.Epochs)
	config.LearningRate = cmp.Or(o.AlignRate, config.LearningRate)
	config.Batch = cmp.Or(o.AlignBatch, config.Batch)
	if o.AlignPatience != nil {
		config.Patience = *o.AlignPatience
	}
	return config
}

// wrong says which option is wrong.
func wrong(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("option %s: %w", field, err)
}
