package gomlxvit

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/regularfile"
	"vitdecompose/gomlxvit/tokenizer"
)

// TextEncoder computes embeddings of texts with a CLIP's text tower.
type TextEncoder struct {
	mu        sync.Mutex
	tower     *TextTower
	tokenizer *tokenizer.Tokenizer
	program   *Program
}

// The sizes in which texts are computed, few, because each is compiled: so many texts at a time, and as many tokens as
// the longest text has, rounded up to this many, twice, four times as many and so on.
const (
	textBatch  = 32
	textLength = 16
)

// textEncoders are those of a model, and of its copies, by what they are compiled for.
type textEncoders struct {
	mu sync.Mutex
	by map[encoderKey]*TextEncoder
}

type encoderKey struct {
	backend  compute.Backend
	operands dtypes.DType
}

// TextEncoder is [Model.NewTextEncoder], but one for all who ask: its graphs are compiled once. It lives as long as the model
// and is not to be closed.
func (m *Model) TextEncoder(backend compute.Backend) (*TextEncoder, error) {
	if m.encoders == nil { // a model that was put together without a checkpoint
		return m.NewTextEncoder(backend)
	}
	m.encoders.mu.Lock()
	defer m.encoders.mu.Unlock()
	key := encoderKey{backend, m.operands}
	if encoder := m.encoders.by[key]; encoder != nil {
		return encoder, nil
	}
	encoder, err := m.NewTextEncoder(backend)
	if err != nil {
		return nil, err
	}
	if m.encoders.by == nil {
		m.encoders.by = make(map[encoderKey]*TextEncoder)
	}
	m.encoders.by[key] = encoder
	return encoder, nil
}

// NewTextEncoder prepares the text tower, which the model must have been loaded with ([Options].Text).
func (m *Model) NewTextEncoder(backend compute.Backend) (*TextEncoder, error) {
	tower, err := m.textTower()
	if err != nil {
		return nil, err
	}
	program, err := m.Compile(backend, func(w Weights, in []*graph.Node) []*graph.Node {
		return []*graph.Node{tower.Embedding(w, in[0])}
	})
	if err != nil {
		return nil, err
	}
	return &TextEncoder{tower: tower, tokenizer: m.Tokenizer, program: program}, nil
}

// Close frees the compiled graphs.
func (e *TextEncoder) Close() { e.program.Close() }

// Dim is the number of channels of an embedding.
func (e *TextEncoder) Dim() int { return e.tower.EmbedDim }

// Embed computes the embeddings [text, dim] of texts, not normalised. Texts that are too long are cut as open_clip does.
func (e *TextEncoder) Embed(ctx context.Context, texts []string) ([]float32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	tokens := make([][]int32, len(texts))
	for i, text := range texts {
		tokens[i], _ = e.tokenizer.Tokens(text, e.tower.ContextLength)
	}
	return e.embed(ctx, tokens)
}

// embed computes the embeddings [text, dim] of rows of ContextLength token ids.
func (e *TextEncoder) embed(ctx context.Context, tokens [][]int32) ([]float32, error) {
	length := func(row []int32) int { return 1 + slices.Index(row, slices.Max(row)) }
	// Texts of like length are computed together.
	order := make([]int, len(tokens))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return length(tokens[a]) - length(tokens[b]) })

	dim := e.Dim()
	out := make([]float32, len(tokens)*dim)
	size := min(textBatch, len(tokens))
	for chunk := range slices.Chunk(order, max(size, 1)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		longest := textLength
		for longest < length(tokens[chunk[len(chunk)-1]]) {
			longest *= 2
		}
		if longest > e.tower.ContextLength || e.tower.Bidirectional || e.tower.ReadLast {
			longest = e.tower.ContextLength
		}
		var flat []int32
		for i := range size { // the last chunk is filled up with its last text
			flat = append(flat, tokens[chunk[min(i, len(chunk)-1)]][:longest]...)
		}
		outputs, err := e.program.Run(tensors.FromFlatDataAndDimensions(flat, size, longest))
		if err != nil {
			return nil, err
		}
		embeddings, err := tensors.CopyFlatData[float32](outputs[0])
		if err != nil {
			return nil, err
		}
		for i, index := range chunk {
			copy(out[index*dim:][:dim], embeddings[i*dim:])
		}
	}
	return out, nil
}

// Phrases computes one embedding of length 1 for each phrase, [phrase, dim]: every template filled with the phrase, each
// of these texts' embeddings normalised, their mean, normalised. A text that does not fit into the tower's context is an
// error here, for what it says would be lost.
func (e *TextEncoder) Phrases(ctx context.Context, phrases []string, templates Templates) ([]float32, error) {
	if len(phrases) == 0 {
		return nil, errors.New("there are no phrases to embed")
	}
	if err := templates.check(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	dim, most := e.Dim(), e.tower.ContextLength
	out := make([]float32, 0, len(phrases)*dim)
	// Some phrases at a time, so that memory is bounded by the number of templates.
	for part := range slices.Chunk(phrases, max(1, 4096/len(templates))) {
		tokens := make([][]int32, 0, len(part)*len(templates))
		for _, phrase := range part {
			if strings.TrimSpace(phrase) == "" {
				return nil, fmt.Errorf("phrase %q is empty", phrase)
			}
			for _, template := range templates {
				row, cut := e.tokenizer.Tokens(template.fill(phrase), most)
				if cut {
					return nil, fmt.Errorf("%.60q in the template %.60q is too long: it is more than %d tokens; shorten it", phrase, string(template), most)
				}
				tokens = append(tokens, row)
			}
		}
		embeddings, err := e.embed(ctx, tokens)
		if err != nil {
			return nil, err
		}
		for i := range part {
			mean := make([]float64, dim)
			for k := range templates {
				row := normalise(embeddings[(i*len(templates)+k)*dim:][:dim])
				for d, v := range row {
					mean[d] += v / float64(len(templates))
				}
			}
			for _, v := range normalise(mean) {
				out = append(out, float32(v))
			}
		}
	}
	return out, nil
}

// normalise scales a vector to length 1.
func normalise[T float32 | float64](v []T) []float64 {
	var square float64
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	norm := math.Max(math.Sqrt(square), 1e-12)
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x) / norm
	}
	return out
}

// Template is a text with a place for a phrase: "a photo of a {}."
type Template string

// place is what the phrase is put for.
const place = "{}"

// fill puts the phrase for every {}.
func (t Template) fill(phrase string) string { return strings.ReplaceAll(string(t), place, phrase) }

// Templates are the wordings over which the embedding of a phrase is averaged.
type Templates []Template

//go:embed templates.txt
var templatesFile string

// DefaultTemplates are the templates that ship with the program.
func DefaultTemplates() Templates {
	templates, err := ParseTemplates(strings.NewReader(templatesFile))
	if err != nil { // the file is part of the program, and a test reads it
		panic(err)
	}
	return templates
}

// ReadTemplates reads a file of templates, see [ParseTemplates].
func ReadTemplates(path string) (templates Templates, err error) {
	f, _, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if templates, err = ParseTemplates(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return templates, nil
}

// maxTemplates bounds how many templates are read; the largest sets in use have less than a hundred.
const maxTemplates = 10_000

// ParseTemplates reads templates, one a line, each with {} where the phrase goes. Empty lines and those that begin with #
// are left out.
func ParseTemplates(r io.Reader) (Templates, error) {
	var templates Templates
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !strings.Contains(line, place):
			return nil, fmt.Errorf("line %d (%.60q) has no {} where the class name goes", number, line)
		case len(templates) == maxTemplates:
			return nil, fmt.Errorf("there are more than %d templates", maxTemplates)
		default:
			templates = append(templates, Template(line))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	if len(templates) == 0 {
		return nil, errors.New("there are no templates; write one a line, such as: a photo of a {}")
	}
	return templates, nil
}

// check says what is wrong with templates that were not read by ParseTemplates.
func (t Templates) check() error {
	if len(t) == 0 {
		return errors.New("there are no templates")
	}
	for _, template := range t {
		if !strings.Contains(string(template), place) {
			return fmt.Errorf("the template %.60q has no {} where the phrase goes", string(template))
		}
	}
	return nil
}

// WithZeroShotHead returns the model with a classifier made of words: the logit of a class is exp(logit_scale) times the
// cosine of the picture's embedding and that of the class name in the templates (see [TextEncoder.Phrases]). The model
// must have been loaded with its text tower ([Options].Text); nil templates stand for [DefaultTemplates].
func (m *Model) WithZeroShotHead(ctx context.Context, backend compute.Backend, classNames []string, templates Templates) (*Model, error) {
	if len(classNames) == 0 {
		return nil, fmt.Errorf("%s: a zero-shot head needs class names, and there are none", m.Name)
	}
	if templates == nil {
		templates = DefaultTemplates()
	}
	encoder, err := m.TextEncoder(backend)
	if err != nil {
		return nil, err
	}
	classes, err := encoder.Phrases(ctx, classNames, templates)
	if err != nil {
		return nil, fmt.Errorf("%s: class names: %w", m.Name, err)
	}
	return m.withHead(zeroShot{Architecture: m.Arch, classes: len(classNames), biased: m.Text.LogitBias}, classNames, map[string]*tensors.Tensor{
		zeroShotClasses: tensors.FromFlatDataAndDimensions(classes, len(classNames), encoder.Dim()),
	})
}

// zeroShotClasses is the weight [class, dim] with the embeddings of the class names, which no checkpoint has.
const zeroShotClasses = "zero_shot.classes"

// zeroShot is an architecture with a zero-shot head.
type zeroShot struct {
	Architecture
	classes int
	biased  bool // by [TextTower].LogitBias
}

// Params implements Architecture.
func (z zeroShot) Params() []Param {
	params := append(z.Architecture.Params(), Param{Name: logitScale, Dims: []int{}},
		Param{Name: zeroShotClasses, Dims: []int{z.classes, z.OutputDim()}})
	if z.biased {
		params = append(params, Param{Name: logitBias, Dims: []int{}})
	}
	return params
}

// NumClasses implements Architecture.
func (z zeroShot) NumClasses() int { return z.classes }

// Head implements Architecture.
func (z zeroShot) Head(w Weights, representation *graph.Node) *graph.Node {
	logits := CosineLogits(w, representation, w.Get(zeroShotClasses))
	if z.biased {
		logits = graph.Add(logits, w.Get(logitBias))
	}
	return logits
}

// Probabilities are those of the classes by their logits [class]: their softmax, or where each class is a question of its own, as
// for a SigLIP, the sigmoid of each.
func (m *Model) Probabilities(logits []float32) []float64 {
	probabilities := make([]float64, len(logits))
	if head, ok := m.Arch.(zeroShot); ok && head.biased {
		for i, logit := range logits {
			probabilities[i] = 1 / (1 + math.Exp(-float64(logit)))
		}
		return probabilities
	}
	largest, sum := float64(slices.Max(logits)), 0.0
	for i, logit := range logits {
		probabilities[i] = math.Exp(float64(logit) - largest)
		sum += probabilities[i]
	}
	for i := range probabilities {
		probabilities[i] /= sum
	}
	return probabilities
}
