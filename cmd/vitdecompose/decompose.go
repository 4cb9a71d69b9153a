package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/counted"
	"vitdecompose/data/progress"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/option"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/safetensors"
)

// decomposing are the options of decompose.
type decomposing struct {
	Split  string `flag:"split" default:"heads" oneof:"heads|attns|tokens" help:"heads, attns (heads together) or tokens (heads by source token)"`
	Biases string `flag:"biases" default:"const" oneof:"const|shared" help:"const (biases are a component by themselves) or shared (divided among the components)"`
	Pixels string `flag:"pixels" takes:"FILE" help:"safetensors file with the tensor pixels, input or pixel_values [N,3,H,W], normalised"`
	Out    string `flag:"out" takes:"FILE" help:"safetensors file to write"`
}

func newDecompose() *cobra.Command {
	var options session.Options
	var own decomposing
	c := &cobra.Command{
		Use:   "decompose ((IMAGE|FOLDER)... | --pixels FILE) --out FILE",
		Short: "Write what each part of a model contributes to the representation of pictures",
		Long: `Write the contributions of each component to the final representation of pictures
to a safetensors file:

  contributions   [component, picture, dim]; --split tokens: [component, picture, token, dim]
  representation  [picture, dim], the sum of the contributions
  logits          [picture, class], if the model has a head

and the names of the components as a JSON list in the metadata key "components".
The largest difference between the sum and the representation is printed.`,
		Example: `  vitdecompose decompose --model deit-mini --blocks 2..5 photo.png --out parts.safetensors
  vitdecompose decompose --model checkpoints/vit_base --split tokens \
    --pixels batch.safetensors --out tokens.safetensors`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, files []string) error {
			if err := option.SetDefaults(&own); err != nil {
				return err
			}
			job := decomposition{split: decompose.Split(own.Split), biases: decompose.Biases(own.Biases), out: own.Out}
			switch {
			case (len(files) == 0) == (own.Pixels == ""):
				return usagef("name either pictures or --pixels FILE")
			case own.Pixels != "" && options.Orient:
				return usagef("--orient cannot be used with --pixels")
			case job.out == "":
				return usagef("--out FILE is missing")
			case job.split == decompose.Tokens && job.biases == decompose.BiasesShared:
				return usagef("--biases shared cannot be used with --split tokens")
			}
			return job.decompose(c, options, files, own.Pixels)
		},
	}
	addOptions(c, &options, "model", "input", "random", "blocks", "classes", "templates", "orient", "batch")
	addOptions(c, &own)
	return c
}

// decompose opens the model and what it is to take apart, and writes the contributions.
func (d *decomposition) decompose(c *cobra.Command, options session.Options, files []string, pixels string) (err error) {
	listen(c, &options)
	if d.model, err = session.OpenModel(c.Context(), options); err != nil {
		return usage(err)
	}
	opts := decompose.Options{Split: d.split, Biases: d.biases}
	if options.Blocks != "" {
		first, last, err := parseBlocks(options.Blocks, d.model.Arch.Blocks())
		if err != nil {
			return err
		}
		opts.First, opts.End = first, last+1
	}
	var source batchSource
	if pixels != "" {
		source, err = openPixels(pixels, d.model.Arch.InputSize())
	} else {
		var pictures data.Files
		pictures, err = data.FilesIn(files)
		source = pictureFiles{pictures, d.model.Preprocess, options.Orient}
	}
	if err != nil {
		return err
	}
	if err := checkWritable(d.out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	backend, err := session.Backend()
	if err != nil {
		return err
	}
	if d.decomposer, err = decompose.New(backend, d.model, opts); err != nil {
		return err
	}
	defer d.decomposer.Close()
	d.batch, d.progress = cmp.Or(options.Batch, session.DefaultBatch), progress.New(stderrFile(c))
	worst, err := d.run(c, source)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %s of %s; |sum - representation| is at most %.1e of the representation\n",
		d.out, counted.Of(len(d.decomposer.Components()), "component"), counted.Of(source.Len(), "picture"), worst)
	fmt.Fprintf(c.OutOrStdout(), "the representation is %s\n", gomlxvit.RepresentationOf(d.model.Arch))
	return nil
}

// parseBlocks reads --blocks.
func parseBlocks(text string, blocks []mark.Block) (first, last int, err error) {
	if first, last, err = session.ParseBlocks(text, blocks); err != nil {
		err = usagef("--blocks %w", err)
	}
	return first, last, err
}

// batchSource gives normalised pictures in batches, in order.
type batchSource interface {
	Len() int
	batches(c *cobra.Command, size int, yield func(preprocess.Batch) error) error
}

// pictureFiles are pictures named on the command line.
type pictureFiles struct {
	data.Files
	config preprocess.Config
	orient bool
}

func (p pictureFiles) batches(c *cobra.Command, size int, yield func(preprocess.Batch) error) error {
	for batch, err := range preprocess.Load(c.Context(), p.Files, p.config, preprocess.LoadOptions{Batch: size, Orient: p.orient}) {
		if err != nil {
			return err
		}
		if err := yield(batch); err != nil {
			return err
		}
	}
	return nil
}

// pixelFile is a tensor of pictures that are normalised already.
type pixelFile struct {
	pixels []float32
	count  int
}

// pixelNames are what pictures are called in files of tensors.
var pixelNames = []string{"pixels", "input", "pixel_values"}

func openPixels(path string, side int) (*pixelFile, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--pixels: %w", err)
	}
	defer f.Close()
	for _, name := range pixelNames {
		info, ok := f.Info(name)
		if !ok {
			continue
		}
		if want := []int{3, side, side}; len(info.Shape) != 4 || !slices.Equal(info.Shape[1:], want) || info.Shape[0] == 0 {
			return nil, fmt.Errorf("--pixels %s: tensor %s is %v, the model needs [N, 3, %d, %d]", path, name, info.Shape, side, side)
		}
		if !slices.Contains([]safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16, safetensors.F64}, info.DType) {
			return nil, fmt.Errorf("--pixels %s: tensor %s has type %s, the model needs normalised pixels in F32, F16, BF16 or F64", path, name, info.DType)
		}
		pixels, err := f.Float32(name)
		if err != nil {
			return nil, fmt.Errorf("--pixels: %w", err)
		}
		return &pixelFile{pixels, info.Shape[0]}, nil
	}
	return nil, fmt.Errorf("--pixels %s has no tensor called %s", path, strings.Join(pixelNames, ", "))
}

func (p *pixelFile) Len() int { return p.count }

func (p *pixelFile) batches(c *cobra.Command, size int, yield func(preprocess.Batch) error) error {
	per := len(p.pixels) / p.count
	for first := 0; first < p.count; first += size {
		if err := c.Context().Err(); err != nil {
			return err
		}
		n := min(size, p.count-first)
		if err := yield(preprocess.Batch{First: first, Next: first + n, N: n, Pixels: p.pixels[first*per:][:n*per]}); err != nil {
			return err
		}
	}
	return nil
}

// decomposition is a run of the command.
type decomposition struct {
	model      *gomlxvit.Model
	decomposer *decompose.Decomposer
	split      decompose.Split
	biases     decompose.Biases
	out        string
	batch      int
	progress   progress.Reporter
	writer     *safetensors.Writer // nil until the components are known
	pictures   int
	tokens     int // of the token split
}

// run decomposes batch by batch and writes as it goes; the file appears when it is complete.
func (d *decomposition) run(c *cobra.Command, source batchSource) (worst float64, err error) {
	d.pictures = source.Len()
	size := min(d.batch, d.pictures)
	d.progress.Start("decomposing pictures", d.pictures)
	defer d.progress.Done()
	defer func() {
		if d.writer != nil {
			if abortErr := d.writer.Abort(); err == nil {
				err = abortErr
			}
		}
	}()
	err = source.batches(c, size, func(batch preprocess.Batch) error {
		pixels := extraction.PaddedBatch(batch, size, d.model.Arch.InputSize())
		out, err := d.one(pixels, batch)
		if err != nil {
			return err
		}
		worst = max(worst, out.Error)
		d.progress.Add(batch.N)
		return nil
	})
	if err != nil {
		return worst, err
	}
	if err := extraction.CheckExact(d.model, worst); err != nil {
		return worst, err
	}
	return worst, d.writer.Commit()
}

// one decomposes and writes one batch.
func (d *decomposition) one(pixels *tensors.Tensor, batch preprocess.Batch) (*decompose.Output, error) {
	if d.split != decompose.Tokens {
		out, err := d.decomposer.Run(pixels)
		if err != nil {
			return nil, err
		}
		if err := d.begin(out.Dim); err != nil {
			return nil, err
		}
		for component := range out.Components {
			values := out.Contributions[component*out.Batch*out.Dim:][:batch.N*out.Dim]
			if err := d.writer.WriteFloat32At("contributions", (component*d.pictures+batch.First)*out.Dim, values); err != nil {
				return nil, err
			}
		}
		return out, d.writeRows(out, batch)
	}
	out, err := d.decomposer.RunTokens(pixels, func(block decompose.TokenBlock) error {
		d.tokens = block.Tokens
		dim := d.model.Arch.OutputDim()
		if err := d.begin(dim); err != nil {
			return err
		}
		per := block.Tokens * dim
		padded := len(block.Contributions) / (len(block.Components) * per)
		for i, component := range block.Components {
			values := block.Contributions[i*padded*per:][:batch.N*per]
			if err := d.writer.WriteFloat32At("contributions", (component*d.pictures+batch.First)*per, values); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, d.writeRows(out, batch)
}

// begin creates the file when the components are known.
func (d *decomposition) begin(dim int) error {
	if d.writer != nil {
		return nil
	}
	components := d.decomposer.Components()
	names, err := json.Marshal(decompose.Names(components))
	if err != nil {
		return err
	}
	shape := []int{len(components), d.pictures, dim}
	if d.split == decompose.Tokens {
		shape = []int{len(components), d.pictures, d.tokens, dim}
	}
	infos := []safetensors.Info{
		{Name: "contributions", DType: safetensors.F32, Shape: shape},
		{Name: "representation", DType: safetensors.F32, Shape: []int{d.pictures, dim}},
	}
	if classes := d.model.Arch.NumClasses(); classes > 0 {
		infos = append(infos, safetensors.Info{Name: "logits", DType: safetensors.F32, Shape: []int{d.pictures, classes}})
	}
	d.writer, err = safetensors.Create(d.out, map[string]string{"components": string(names)}, infos)
	return err
}

// writeRows writes what there is one row of for each picture.
func (d *decomposition) writeRows(out *decompose.Output, batch preprocess.Batch) error {
	if err := d.writer.WriteFloat32At("representation", batch.First*out.Dim, out.Representation[:batch.N*out.Dim]); err != nil {
		return err
	}
	classes := d.model.Arch.NumClasses()
	if classes == 0 {
		return nil
	}
	if err := gomlxvit.CheckNumbers("logits", out.Logits[:batch.N*classes], batch.N); err != nil {
		return fmt.Errorf("%s: %w", d.model.Name, err)
	}
	return d.writer.WriteFloat32At("logits", batch.First*classes, out.Logits[:batch.N*classes])
}
