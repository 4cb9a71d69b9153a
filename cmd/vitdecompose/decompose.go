package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"vitdecompose/data"
	"vitdecompose/data/progress"
	"vitdecompose/decompose"
	"vitdecompose/experiments"
	"vitdecompose/experiments/session"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
	"vitdecompose/gomlxvit/preprocess"
	"vitdecompose/gomlxvit/safetensors"
)

func newDecompose() *cobra.Command {
	var models modelFlags
	var job decomposition
	var name, blocks, split, biases, pixels string
	c := &cobra.Command{
		Use:   "decompose (IMAGE... | --pixels FILE) --out FILE",
		Short: "Write what each part of a model contributes to the representation of pictures",
		Long: `Write the contributions of each component to the final representation of pictures
to a safetensors file:

  contributions   [component, picture, dim]; --split tokens: [component, picture, token, dim]
  representation  [picture, dim], the sum of the contributions
  logits          [picture, class], if the model has a head

and the names of the components as a JSON list in the metadata key "components".
The largest difference between the sum and the representation is printed.`,
		Example: `  vitdecompose decompose --model deit-mini --blocks 2..5 photo.png --out parts.safetensors
  vitdecompose decompose --model checkpoints/vit_base --split tokens --pixels batch.safetensors --out tokens.safetensors`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, files []string) error {
			job.split, job.biases = decompose.Split(split), decompose.Biases(biases)
			switch {
			case (len(files) == 0) == (pixels == ""):
				return usagef("name pictures, or --pixels FILE, not both")
			case job.out == "":
				return usagef("--out FILE is missing")
			case !slices.Contains([]decompose.Split{decompose.Heads, decompose.Attns, decompose.Tokens}, job.split):
				return usagef("--split %q is not one of heads, attns, tokens", split)
			case !slices.Contains([]decompose.Biases{decompose.BiasesApart, decompose.BiasesShared}, job.biases):
				return usagef("--biases %q is not one of const, shared", biases)
			case job.split == decompose.Tokens && job.biases == decompose.BiasesShared:
				return usagef("--biases shared does not go with --split tokens")
			case job.batch < 1:
				return usagef("--batch must be at least 1")
			}
			var err error
			if job.model, err = models.open(c.Context(), name); err != nil {
				return err
			}
			opts := decompose.Options{Split: job.split, Biases: job.biases}
			if blocks != "" {
				first, last, err := parseBlocks(blocks, job.model.Arch.Blocks())
				if err != nil {
					return err
				}
				opts.First, opts.End = first, last+1
			}
			var source batchSource
			if pixels != "" {
				source, err = openPixels(pixels, job.model.Arch.InputSize())
			} else {
				source = pictureFiles{files, job.model.Preprocess, job.orient}
			}
			if err != nil {
				return err
			}
			if err := checkWritable(job.out); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			backend, err := session.Backend()
			if err != nil {
				return err
			}
			if job.decomposer, err = decompose.New(backend, job.model, opts); err != nil {
				return err
			}
			defer job.decomposer.Close()
			job.progress = progress.New(stderrFile(c))
			worst, err := job.run(c, source)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d components of %d pictures; |sum - representation| is at most %.1e of the representation\n",
				job.out, len(job.decomposer.Components()), source.Len(), worst)
			return nil
		},
	}
	c.Flags().StringVar(&name, "model", "deit-mini", "a shipped model, a checkpoint directory or hf:owner/repo")
	c.Flags().StringVar(&blocks, "blocks", "", "blocks to take apart, such as 7..11, 7.. or, in a staged model, (2,14).. (default: all)")
	c.Flags().StringVar(&split, "split", "heads", "heads, attns (heads together) or tokens (heads by source token)")
	c.Flags().StringVar(&biases, "biases", "const", "const (biases are a component of their own) or shared (over the components)")
	c.Flags().StringVar(&pixels, "pixels", "", "safetensors file with the tensor pixels or input [N,3,H,W], normalised")
	c.Flags().StringVar(&job.out, "out", "", "safetensors file to write")
	c.Flags().IntVar(&job.batch, "batch", 8, "pictures computed at a time")
	c.Flags().BoolVar(&job.orient, "orient", false, "turn photos upright by their EXIF orientation")
	models.add(c)
	models.addRandom(c)
	return c
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

func openPixels(path string, side int) (*pixelFile, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--pixels: %w", err)
	}
	defer f.Close()
	for _, name := range []string{"pixels", "input"} {
		info, ok := f.Info(name)
		if !ok {
			continue
		}
		if want := []int{3, side, side}; len(info.Shape) != 4 || !slices.Equal(info.Shape[1:], want) || info.Shape[0] == 0 {
			return nil, fmt.Errorf("--pixels %s: tensor %s is %v, the model wants [N, 3, %d, %d]", path, name, info.Shape, side, side)
		}
		if !slices.Contains([]safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16, safetensors.F64}, info.DType) {
			return nil, fmt.Errorf("--pixels %s: tensor %s holds %s, the model wants normalised pixels in F32, F16, BF16 or F64", path, name, info.DType)
		}
		pixels, err := f.Float32(name)
		if err != nil {
			return nil, fmt.Errorf("--pixels: %w", err)
		}
		return &pixelFile{pixels, info.Shape[0]}, nil
	}
	return nil, fmt.Errorf("--pixels %s has no tensor called pixels or input", path)
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
	orient     bool
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
		pixels := experiments.PaddedBatch(batch, size, d.model.Arch.InputSize())
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
	if err := experiments.CheckExact(d.model, worst); err != nil {
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
	return d.writer.WriteFloat32At("logits", batch.First*classes, out.Logits[:batch.N*classes])
}
