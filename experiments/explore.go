package experiments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data"
	"vitdecompose/decompose"
	"vitdecompose/experiments/extraction"
	"vitdecompose/experiments/session"
	"vitdecompose/experiments/statistics"
	"vitdecompose/gomlxvit"
)

// One picture, all components, several questions: what the explorer page shows.
//
//	vitdecompose explore --model deit-mini photo.jpg --out page.html
//
// What is asked is a direction of the representation: that in which a class's logit rises, that of a text, or the
// representation's own. Each component's contribution has a product with it, and they sum to the logit, the similarity with
// the text, or 1. What a component adds from each token sums to its product.

// ExploreConfig says what is computed of a picture. Zero fields stand for the defaults.
type ExploreConfig struct {
	// Pictures are those that are explored, by their position in Over.
	Pictures []int `json:"pictures,omitempty" flag:"probes" usual:"the first" min:"0" help:"the pictures to explore where no file is named, by their position in the data"`
	// Over is another data set whose pictures are explored; nil for the session's own.
	Over data.Dataset `json:"-"`
	// Texts are asked about of every picture, Also are further classes.
	Texts []string `json:"texts,omitempty"`
	Also  []int    `json:"also,omitempty"`

	Best    int `json:"best" flag:"best" default:"5" min:"1" max:"100" help:"how many classes, the best of each picture, are taken apart"` // 0: 5
	Nearest int `json:"nearest" flag:"nearest" default:"8" min:"1" max:"100" help:"how many of the texts that describe heads, those nearest to each picture, are taken apart"`
	Gallery int `json:"gallery" flag:"gallery" default:"300" min:"1" help:"the first N pictures of the data are those among which each head's top pictures are found"`
	// NoTexts leaves texts and words out.
	NoTexts bool `json:"no_texts,omitempty" flag:"no-texts" help:"leave out texts and words, for which a model that is no CLIP is aligned with one"`
	// Alone says that the session's pictures are those that are explored, not data on which heads could be described.
	Alone bool `json:"alone,omitempty"`
}

func (c *ExploreConfig) fill(_ context.Context, s *session.Session) error {
	if c.Over == nil {
		c.Over = s.Data
	}
	if c.Pictures == nil {
		c.Pictures = []int{0}
	}
	for _, index := range c.Pictures {
		if index < 0 || index >= c.Over.Len() {
			return noPicture(index, c.Over)
		}
	}
	return settle(c)
}

// Subject is what a question is about.
type Subject string

// The subjects of questions.
const (
	OfShare Subject = "share" // the representation itself
	OfClass Subject = "class"
	OfText  Subject = "text"
)

// tops is how many of the data's pictures stand for a component.
const tops = 4

// Question is a direction of a picture's representation, with the product of each component's contribution with it.
type Question struct {
	Subject Subject
	Name    string // the class or text
	Unit    string
	// Value is what is taken apart: the logit, the cosine similarity of picture and text, or 1. It is measured without the
	// components.
	Value float64
	// Offset is the part of a logit that does not depend on the representation, the head's bias.
	Offset float64
	// Parts are the components' products, by [ExploredModel.Components]; NaN for one that is not part of the sum. They sum to
	// Sum, and Value - Offset - Sum is the error of the decomposition. Of a head that is not linear, as MaxViT's, it holds
	// what the gradient at the representation does not.
	Parts []float64
	Sum   float64
	// Maps are what a component adds from each position of its grid, row by row; nil for one that has no map, and Grids are
	// the sides of the grids. What a map does not sum to of the part comes from class and register tokens and shared biases.
	Maps  [][]float32
	Grids []int
	// All is the sum of the maps on the finest grid, whose side is AllGrid.
	All     []float32
	AllGrid int
	// Tops are the pictures of the data for which the component adds most in this direction, most first.
	Tops [][]int
}

// Error is what the components' sum misses of the value.
func (q Question) Error() float64 { return q.Value - q.Offset - q.Sum }

// ExploredPicture is a picture with all that was asked of it.
type ExploredPicture struct {
	Picture int // position in the data
	Name    string
	Label   string // the true class, "" where it is unknown
	// Classes are the best classes, best first.
	Classes []ClassScore
	// Questions by how they follow what a block reads: "direct" holds it fixed.
	Direct []Question
	// Exactness is the largest |sum of components - representation| over the largest |representation|.
	Exactness float64
}

// ExploredModel is what an explorer shows of one model.
type ExploredModel struct {
	Model      string
	Components []decompose.Component
	// Words describe components by the texts of a bank; nil where there is no CLIP or no data.
	Words []ComponentInWords
	// Gallery is how many pictures of the data top pictures were found among; 0 for none.
	Gallery int
	// Missing says in a line each what could not be computed, and why.
	Missing  []string
	Pictures []ExploredPicture
}

// Explore takes pictures apart in all directions that are asked for.
func Explore(ctx context.Context, s *session.Session, config ExploreConfig) (ExploredModel, error) {
	e, err := NewExplorer(ctx, s, config)
	if err != nil {
		return ExploredModel{Model: s.Name}, err
	}
	defer e.Close()
	result := e.About()
	for _, index := range e.config.Pictures {
		p, err := e.Picture(ctx, index)
		if err != nil {
			return result, err
		}
		result.Pictures = append(result.Pictures, p)
	}
	return result, nil
}

// Explorer takes one picture after the other apart, and answers further questions about them. It is not for several
// goroutines at a time.
type Explorer struct {
	config  ExploreConfig
	session *session.Session
	model   *gomlxvit.Model // with a head, where it has one
	about   ExploredModel

	decomposer *decompose.Decomposer
	logits     *decompose.LogitReader // nil without a head
	scorer     *decompose.Scorer      // nil where tokens cannot be followed
	texts      *textReader            // nil without a CLIP
	suggested  []string               // texts that describe components
	gallery    *extraction.Parts      // nil without data
	last       *takenApart
}

// scoreBatch is how many directions are scored in one run of the model.
const scoreBatch = 4

// NewExplorer prepares what all pictures have in common: programs, words, and the pictures of the data. Close it when done.
func NewExplorer(ctx context.Context, s *session.Session, config ExploreConfig) (*Explorer, error) {
	if err := config.fill(ctx, s); err != nil {
		return nil, err
	}
	e := &Explorer{config: config, session: s, model: s.Model, about: ExploredModel{Model: s.Name}}
	if err := e.prepare(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Explorer) prepare(ctx context.Context) (err error) {
	s := e.session
	if err := s.HasHead(ctx); err == nil {
		if e.model, err = s.Classifier(ctx); err != nil {
			return err
		}
	} else if len(e.config.Also) > 0 {
		return err
	} else {
		e.lack("classes: %v", err)
	}
	x, err := s.Extraction()
	if err != nil {
		return err
	}
	options := decompose.Options{Split: decompose.Heads, Biases: decompose.BiasesApart}
	if err := s.SetBlocks(&options, 0, len(e.model.Arch.Blocks())-1); err != nil {
		return err
	}
	if e.decomposer, err = decompose.New(x.Backend, e.model, options); err != nil {
		return err
	}
	e.about.Components = e.decomposer.Components()
	if e.model.Arch.NumClasses() > 0 {
		if e.logits, err = decompose.NewLogitReader(x.Backend, e.model); err != nil {
			return err
		}
	}
	for _, class := range e.config.Also {
		if class < 0 || class >= e.model.Arch.NumClasses() {
			return fmt.Errorf("%s has no class %d: it has %d, counted from 0", e.model.Name, class, e.model.Arch.NumClasses())
		}
	}
	if e.scorer, err = decompose.NewDirectionScorer(x.Backend, e.model, options); err != nil {
		return err
	}
	e.tryMaps()
	if e.config.NoTexts && len(e.config.Texts) > 0 {
		return errors.New("there are texts to ask about, and option NoTexts leaves texts out")
	}
	if !e.config.NoTexts {
		if err := e.openTexts(ctx); err != nil {
			return err
		}
	}
	if e.config.Alone {
		e.lack("words and top pictures of heads: no data were named (option Data)")
		return nil
	}
	if e.texts != nil {
		words, err := Describe(ctx, s, DescribeConfig{})
		if err != nil {
			return err
		}
		e.about.Words = words.Words
		for _, w := range words.Words {
			for _, text := range w.Texts {
				if !slices.Contains(e.suggested, text) {
					e.suggested = append(e.suggested, text)
				}
			}
		}
	}
	x.Model, x.Options = e.model, options
	x.Data, x.Pictures = data.First(s.Data, min(e.config.Gallery, s.Data.Len())), 0
	if e.gallery, err = x.Parts(ctx); err != nil {
		return err
	}
	s.Use(s.Options().Data, s.Data)
	e.about.Gallery = x.Data.Len()
	return nil
}

// tryMaps scores the tokens of nothing, to find out whether they can be followed: not where a model of one's own, or an ONNX
// file, has attention whose weights were not found.
func (e *Explorer) tryMaps() {
	side := e.model.Arch.InputSize()
	pixels := tensors.FromFlatDataAndDimensions(make([]float32, scoreBatch*3*side*side), scoreBatch, 3, side, side)
	if _, _, err := e.scorer.RunAlong(pixels, make([]float32, scoreBatch*e.model.Arch.OutputDim())); err != nil {
		e.lack("maps: %v", err)
		e.scorer.Close()
		e.scorer = nil
	}
}

// lack notes what could not be computed.
func (e *Explorer) lack(format string, args ...any) {
	e.about.Missing = append(e.about.Missing, fmt.Sprintf(format, args...))
}

// Close frees the compiled programs.
func (e *Explorer) Close() {
	if e.decomposer != nil {
		e.decomposer.Close()
	}
	if e.logits != nil {
		e.logits.Close()
	}
	if e.scorer != nil {
		e.scorer.Close()
	}
	if e.texts != nil {
		e.texts.close()
	}
}

// About is what all pictures have in common, without pictures.
func (e *Explorer) About() ExploredModel { return e.about }

// HasTexts reports whether texts can be asked about.
func (e *Explorer) HasTexts() bool { return e.texts != nil }

// ClassNames are the names of the classes, the number where one has no name; nil without a head.
func (e *Explorer) ClassNames() []string {
	names := make([]string, e.model.Arch.NumClasses())
	for i := range names {
		names[i] = className(e.model.ClassNames, i)
	}
	return names
}

// takenApart is a picture with the contributions of its components.
type takenApart struct {
	index  int
	pixels []float32 // [3, side, side]
	out    *decompose.Output
	mapped *decompose.Contributions // in CLIP's space; nil before a text was asked about
}

// take takes a picture apart, unless it was the last one.
func (e *Explorer) take(index int) (*takenApart, error) {
	if e.last != nil && e.last.index == index {
		return e.last, nil
	}
	if index < 0 || index >= e.config.Over.Len() {
		return nil, noPicture(index, e.config.Over)
	}
	pixels, err := pixelsOf(e.model, e.config.Over, index, e.session.Options().Orient)
	if err != nil {
		return nil, err
	}
	t := &takenApart{index: index}
	if t.pixels, err = tensors.CopyFlatData[float32](pixels); err != nil {
		return nil, err
	}
	if t.out, err = e.decomposer.Run(pixels); err != nil {
		return nil, err
	}
	name := e.config.Over.Item(index).Name
	if err := extraction.CheckExact(e.model, t.out.Error); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := gomlxvit.CheckNumbers("logits", t.out.Logits, 1); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", e.model.Name, name, err)
	}
	e.last = t
	return t, nil
}

// Picture takes a picture of Over apart and asks about its representation, its best classes, and texts.
func (e *Explorer) Picture(ctx context.Context, index int) (ExploredPicture, error) {
	p := ExploredPicture{Picture: index}
	if err := ctx.Err(); err != nil {
		return p, err
	}
	t, err := e.take(index)
	if err != nil {
		return p, err
	}
	item := e.config.Over.Item(index)
	p.Name, p.Exactness = item.Name, t.out.Error
	if classes := e.config.Over.Classes(); item.Label >= 0 && item.Label < len(classes) {
		p.Label = classes[item.Label]
	}
	if p.Direct, err = e.linear(ctx, t, []linearQuestion{ofItself(t)}); err != nil {
		return p, fmt.Errorf("%s: %w", item.Name, err)
	}
	if e.logits != nil {
		classes := statistics.Top(t.out.Logits, e.config.Best)
		for _, class := range classes {
			p.Classes = append(p.Classes, ClassScore{className(e.model.ClassNames, class), float64(t.out.Logits[class])})
		}
		for _, class := range e.config.Also {
			if !slices.Contains(classes, class) {
				classes = append(classes, class)
			}
		}
		questions, err := e.Classes(ctx, index, classes...)
		if err != nil {
			return p, err
		}
		p.Direct = append(p.Direct, questions...)
	}
	if e.texts != nil {
		embeddings, err := e.texts.phrases(ctx, e.config.Texts)
		if err != nil {
			return p, err
		}
		near, embedded, err := e.nearest(ctx, t)
		if err != nil {
			return p, err
		}
		questions, err := e.askTexts(ctx, t, append(slices.Clone(e.config.Texts), near...), append(embeddings, embedded...))
		if err != nil {
			return p, fmt.Errorf("%s: %w", item.Name, err)
		}
		p.Direct = append(p.Direct, questions...)
	}
	return p, nil
}

// Classes asks about the logits of classes of a picture.
func (e *Explorer) Classes(ctx context.Context, index int, classes ...int) ([]Question, error) {
	t, err := e.take(index)
	if err != nil {
		return nil, err
	}
	if e.logits == nil {
		return nil, fmt.Errorf("%s has no classes", e.model.Name)
	}
	directions, offsets, err := e.logits.Read(t.out.Representation, classes)
	if err != nil {
		return nil, err
	}
	var asked []linearQuestion
	for i, class := range classes {
		asked = append(asked, linearQuestion{
			Question:  Question{Subject: OfClass, Name: className(e.model.ClassNames, class), Unit: "logit", Value: float64(t.out.Logits[class]), Offset: float64(offsets[i])},
			direction: directions[i*t.out.Dim:][:t.out.Dim],
		})
	}
	questions, err := e.linear(ctx, t, asked)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.config.Over.Item(index).Name, err)
	}
	return questions, nil
}

// Texts asks about texts, which the templates of the session word, of a picture.
func (e *Explorer) Texts(ctx context.Context, index int, texts ...string) ([]Question, error) {
	if e.texts == nil {
		return nil, fmt.Errorf("%s: there is no CLIP that reads texts", e.model.Name)
	}
	t, err := e.take(index)
	if err != nil {
		return nil, err
	}
	embeddings, err := e.texts.phrases(ctx, texts)
	if err != nil {
		return nil, err
	}
	return e.askTexts(ctx, t, texts, embeddings)
}

// linearQuestion is one whose direction is the same for all components.
type linearQuestion struct {
	Question
	direction []float32 // [dim]
}

// ofItself asks how much of its representation each component makes up.
func ofItself(t *takenApart) linearQuestion {
	z := t.out.Representation
	square := dot(z, z)
	return linearQuestion{Question{Subject: OfShare, Name: "share of the representation", Unit: "share", Value: 1}, scaled(z, 1/square)}
}

func scaled(vector []float32, by float64) []float32 {
	out := make([]float32, len(vector))
	for i, v := range vector {
		out[i] = float32(float64(v) * by)
	}
	return out
}

// linear answers questions about a picture: parts from the contributions, maps from the tokens.
func (e *Explorer) linear(ctx context.Context, t *takenApart, asked []linearQuestion) ([]Question, error) {
	var out []Question
	for some := range slices.Chunk(asked, scoreBatch) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		scored, err := e.scores(t, some)
		if err != nil {
			return nil, err
		}
		for i, asked := range some {
			q := asked.Question
			q.Parts = make([]float64, len(e.about.Components))
			for c := range q.Parts {
				q.Parts[c] = dot(t.out.Contribution(c, 0), asked.direction)
				q.Sum += q.Parts[c]
			}
			of := make([]decompose.ScoredComponent, len(scored))
			for k, c := range scored {
				of[k] = decompose.ScoredComponent{Component: c.Component, Values: c.Values[i*c.Tokens:][:c.Tokens]}
			}
			e.addMaps(&q, of)
			if e.gallery != nil {
				q.Tops = e.topsAlong(q.Subject, asked.direction)
			}
			out = append(out, q)
		}
	}
	return out, nil
}

// scores scores the tokens of a picture for at most [scoreBatch] questions, a batch of as many; nil where they cannot be
// followed.
func (e *Explorer) scores(t *takenApart, asked []linearQuestion) ([]decompose.ScoredComponent, error) {
	if e.scorer == nil {
		return nil, nil
	}
	var pixels, directions []float32
	for i := range scoreBatch { // the last is repeated: each number of pictures is a program of its own
		pixels = append(pixels, t.pixels...)
		directions = append(directions, asked[min(i, len(asked)-1)].direction...)
	}
	side := e.model.Arch.InputSize()
	scored, _, err := e.scorer.RunAlong(tensors.FromFlatDataAndDimensions(pixels, scoreBatch, 3, side, side), directions)
	return scored, err
}

// addMaps gives a question the maps of components that were scored on one picture.
func (e *Explorer) addMaps(q *Question, scored []decompose.ScoredComponent) {
	prefix := e.model.Arch.PrefixTokens()
	q.Maps, q.Grids = make([][]float32, len(e.about.Components)), make([]int, len(e.about.Components))
	if len(scored) == 0 {
		return
	}
	for _, c := range scored {
		// What is read at the class token alone has no map: the MLPs of a plain transformer.
		values := c.Values[prefix:]
		at := slices.IndexFunc(e.about.Components, func(o decompose.Component) bool { return o.String() == c.String() })
		if at >= 0 && slices.ContainsFunc(values, func(v float32) bool { return v != 0 }) {
			q.Maps[at], q.Grids[at] = values, gridSide(c.Component, prefix)
		}
	}
	q.All, q.AllGrid = sumOnGrid(scored, prefix, 1)
}

// topsAlong finds for each component the pictures of the data to which it adds most along a direction, or, of a share, along
// the picture's own representation.
func (e *Explorer) topsAlong(subject Subject, direction []float32) [][]int {
	g := e.gallery
	all := make([][]int, len(g.Components))
	scores := make([]float32, g.Pictures)
	along, squares := make([][]float32, g.Pictures), make([]float64, g.Pictures)
	for i := range along {
		along[i], squares[i] = direction, 1
		if subject == OfShare {
			along[i] = g.Representation[i*g.Dim:][:g.Dim]
			squares[i] = dot(along[i], along[i])
		}
	}
	for c := range g.Components {
		for i := range scores {
			scores[i] = float32(dot(g.Row(c, i), along[i]) / squares[i])
		}
		for _, i := range statistics.Top(scores, tops) {
			all[c] = append(all[c], g.Index[i])
		}
	}
	return all
}

// nearest are the texts that describe components whose embeddings are nearest to the picture, but those that are asked about
// already: [text, clip dim].
func (e *Explorer) nearest(ctx context.Context, t *takenApart) (texts []string, embeddings []float32, err error) {
	if len(e.suggested) == 0 {
		return nil, nil, nil
	}
	all, err := e.texts.embed(ctx, e.suggested)
	if err != nil {
		return nil, nil, err
	}
	mapped, err := e.texts.mapped(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	own := mapped.Total()
	for _, i := range statistics.Top(products(all, own), len(e.suggested)) {
		if len(texts) < e.config.Nearest && !slices.Contains(e.config.Texts, e.suggested[i]) {
			texts = append(texts, e.suggested[i])
			embeddings = append(embeddings, all[i*len(own):][:len(own)]...)
		}
	}
	return texts, embeddings, nil
}

// textReader reads what components contribute by text: of a CLIP as it is, of other models through an alignment.
type textReader struct {
	session   *session.Session
	encoder   *gomlxvit.TextEncoder
	templates gomlxvit.Templates
	known     map[string][]float32 // embeddings of texts as they are

	// Of a model that is not a CLIP: its contributions as they were aligned, by heads and by tokens.
	aligner       *decompose.Aligner
	heads, tokens *decompose.Decomposer
	gallery       *decompose.Contributions // aligned contributions to the pictures of the data, where there are data
	index         []int
}

// openTexts opens what texts need. Where there is no CLIP it notes so, unless the user asked for texts.
func (e *Explorer) openTexts(ctx context.Context) error {
	s := e.session
	if err := s.CanRead(ctx); err != nil {
		options := s.Options()
		if len(e.config.Texts) > 0 || cmp.Or(options.Reference, options.Aligner, options.AlignData) != "" {
			return err
		}
		e.lack("texts and words: %v", err)
		return nil
	}
	backend, err := s.Backend()
	if err != nil {
		return err
	}
	study, err := s.Study(ctx)
	if err != nil {
		return err
	}
	study.SetDefaults()
	reference, err := study.Referenced()
	if err != nil {
		return err
	}
	t := &textReader{session: s, templates: study.Templates, known: make(map[string][]float32)}
	if t.templates == nil {
		t.templates = gomlxvit.DefaultTemplates()
	}
	if t.encoder, err = reference.TextEncoder(backend); err != nil {
		return err
	}
	e.texts = t
	if study.IsCLIP() {
		return nil
	}
	if t.aligner, err = study.Alignment(ctx); err != nil {
		return err
	}
	if t.heads, err = decompose.New(backend, s.Model, study.Options); err != nil {
		return err
	}
	byTokens := study.Options
	byTokens.Split, byTokens.Biases = decompose.Tokens, decompose.BiasesApart
	if t.tokens, err = decompose.New(backend, s.Model, byTokens); err != nil || e.config.Alone {
		return err
	}
	r, err := s.Reading(ctx)
	if err != nil {
		return err
	}
	t.gallery, t.index = r.Aligned, r.Index
	return nil
}

func (t *textReader) close() {
	for _, d := range []*decompose.Decomposer{t.heads, t.tokens} {
		if d != nil {
			d.Close()
		}
	}
}

// phrases embeds what the user asks about: unit rows [text, clip dim].
func (t *textReader) phrases(ctx context.Context, texts []string) ([]float32, error) {
	for _, text := range texts {
		if strings.TrimSpace(text) == "" {
			return nil, errors.New("a text is empty")
		}
	}
	if len(texts) == 0 {
		return nil, nil
	}
	return t.encoder.Phrases(ctx, texts, t.templates)
}

// embed embeds texts of a bank as they are, each once: unit rows [text, clip dim].
func (t *textReader) embed(ctx context.Context, texts []string) ([]float32, error) {
	var unknown []string
	for _, text := range texts {
		if t.known[text] == nil {
			unknown = append(unknown, text)
		}
	}
	if len(unknown) > 0 {
		rows, err := t.encoder.Phrases(ctx, unknown, gomlxvit.Templates{"{}"})
		if err != nil {
			return nil, err
		}
		dim := len(rows) / len(unknown)
		for i, text := range unknown {
			t.known[text] = rows[i*dim:][:dim]
		}
	}
	var all []float32
	for _, text := range texts {
		all = append(all, t.known[text]...)
	}
	return all, nil
}

// mapped are the contributions to a picture in CLIP's space, computed once.
func (t *textReader) mapped(ctx context.Context, of *takenApart) (*decompose.Contributions, error) {
	if of.mapped != nil {
		return of.mapped, nil
	}
	out := of.out
	if t.aligner != nil {
		side := t.session.Model.Arch.InputSize()
		var err error
		if out, err = t.heads.Run(tensors.FromFlatDataAndDimensions(of.pixels, 1, 3, side, side)); err != nil {
			return nil, err
		}
	}
	own := &decompose.Contributions{Components: decompose.Names(out.Components), Pictures: 1, Dim: out.Dim, Values: out.Contributions}
	if t.aligner != nil {
		backend, err := t.session.Backend()
		if err != nil {
			return nil, err
		}
		if own, err = t.aligner.Map(ctx, backend, own); err != nil {
			return nil, err
		}
	}
	of.mapped = own
	return own, nil
}

// askTexts asks about texts by their embeddings, unit rows [text, clip dim]. The components' parts sum to the cosine
// similarity of the picture with the text.
func (e *Explorer) askTexts(ctx context.Context, t *takenApart, texts []string, embeddings []float32) ([]Question, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	mapped, err := e.texts.mapped(ctx, t)
	if err != nil {
		return nil, err
	}
	own, dim := mapped.Total(), mapped.Dim
	if e.texts.aligner == nil {
		own = t.out.Representation
	}
	length := math.Sqrt(dot(own, own))
	if length == 0 {
		return nil, errors.New("its representation is 0 and has no similarity with a text")
	}
	var asked []linearQuestion
	for i, text := range texts {
		embedding := embeddings[i*dim:][:dim]
		asked = append(asked, linearQuestion{
			Question{Subject: OfText, Name: text, Unit: "cosine similarity", Value: decompose.Cosines(own, embedding, dim)[0]},
			scaled(embedding, 1/length),
		})
	}
	if e.texts.aligner == nil {
		return e.linear(ctx, t, asked)
	}
	return e.aligned(t, mapped, asked)
}

// aligned answers questions about texts for a model whose components are mapped into CLIP's space one by one: the direction
// of a text is another one for each component. Those that the alignment does not know are not part of the sum.
func (e *Explorer) aligned(t *takenApart, mapped *decompose.Contributions, asked []linearQuestion) ([]Question, error) {
	names := decompose.Names(e.about.Components)
	place := make([]int, len(mapped.Components)) // among the explorer's components
	for i, name := range mapped.Components {
		if place[i] = slices.Index(names, name); place[i] < 0 {
			return nil, fmt.Errorf("the component %s of the alignment is not one of the model's", name)
		}
	}
	scored, err := e.scoreAligned(t, mapped.Components, asked)
	if err != nil {
		return nil, err
	}
	n := 0 // how many of the aligned pictures are in the gallery
	for n < len(e.texts.index) && e.texts.index[n] < e.about.Gallery {
		n++
	}
	var out []Question
	for i, asked := range asked {
		q := asked.Question
		q.Parts = make([]float64, len(names))
		for c := range q.Parts {
			q.Parts[c] = math.NaN()
		}
		for c, at := range place {
			q.Parts[at] = dot(mapped.Row(c, 0), asked.direction)
			q.Sum += q.Parts[at]
		}
		e.addMaps(&q, scored[i])
		if g := e.texts.gallery; g != nil {
			q.Tops = make([][]int, len(names))
			for c, at := range place {
				for _, picture := range statistics.Top(products(g.Of(c)[:n*g.Dim], asked.direction), tops) {
					q.Tops[at] = append(q.Tops[at], e.texts.index[picture])
				}
			}
		}
		out = append(out, q)
	}
	return out, nil
}

// scoreAligned scores the tokens of one picture for texts: [question], the components that have tokens.
func (e *Explorer) scoreAligned(t *takenApart, components []string, asked []linearQuestion) ([][]decompose.ScoredComponent, error) {
	scored := make([][]decompose.ScoredComponent, len(asked))
	side := e.session.Model.Arch.InputSize()
	d := e.texts.tokens
	_, err := d.RunTokens(tensors.FromFlatDataAndDimensions(t.pixels, 1, 3, side, side), func(b decompose.TokenBlock) error {
		dim := len(b.Contributions) / len(b.Components) / b.Tokens
		for i, index := range b.Components {
			c := d.Components()[index]
			at := slices.Index(components, c.String())
			if !c.Kind.InBlock() || at < 0 || c.Tokens == 0 {
				continue
			}
			for k, q := range asked {
				values := products(b.Contributions[i*b.Tokens*dim:][:c.Tokens*dim], e.texts.aligner.Direction(at, q.direction))
				scored[k] = append(scored[k], decompose.ScoredComponent{Component: c, Values: values})
			}
		}
		return nil
	})
	return scored, err
}
