package decompose

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/data/progress"
	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/adam"
)

// AlignConfig says how CompAlign is trained.
type AlignConfig struct {
	// Lambda weighs the orthogonality of the maps against the cosine distance; at 0 the maps are free.
	Lambda       float64 `json:"lambda"`
	LearningRate float64 `json:"learning_rate"`
	// WeightDecay is added to the gradient, times the weight.
	WeightDecay float64 `json:"weight_decay"`
	Batch       int     `json:"batch"`
	// Epochs is how often at most the pictures are gone through.
	Epochs int `json:"epochs"`
	// Patience is after how many batches without a new least loss the training stops; 0 for never.
	Patience int `json:"patience"`
	// Seed is that of the first weights and of the order of the pictures.
	Seed uint64 `json:"seed"`
}

// DefaultAlignConfig is how to train, with lambda 1, on that many pictures. From 640,000 on it is as arXiv 2406.01583
// trains on ImageNet: two epochs at most, ended early by the loss of batches. Fewer are gone through more often, for at
// least 2000 steps, in steps three times as large and without an early end: maps that begin near zero need that many to
// become orthogonal.
func DefaultAlignConfig(pictures int) AlignConfig {
	config := AlignConfig{Lambda: 1, LearningRate: 3e-4, WeightDecay: 1e-6, Batch: 32, Epochs: 2, Patience: 50}
	if pictures < 640_000 {
		perEpoch := max(1, (pictures+config.Batch-1)/config.Batch)
		config.LearningRate, config.Patience = 1e-3, 0
		config.Epochs = max(config.Epochs, (2000+perEpoch-1)/perEpoch)
	}
	return config
}

// Warm is the configuration for an alignment that begins at one for another lambda ([AlignOptions].From) and so needs a few
// hundred steps only, on that many pictures.
func (c AlignConfig) Warm(pictures int) AlignConfig {
	perEpoch := max(1, (pictures+c.Batch-1)/max(c.Batch, 1))
	c.Epochs = min(c.Epochs, (300+perEpoch-1)/perEpoch)
	return c
}

// Check returns an error for a configuration that cannot be used.
func (c AlignConfig) Check() error {
	finite := func(x float64) bool { return x >= 0 && !math.IsInf(x, 0) }
	switch {
	case !finite(c.Lambda):
		return fmt.Errorf("lambda %g is not a finite number of 0 or more", c.Lambda)
	case !finite(c.LearningRate) || c.LearningRate == 0:
		return fmt.Errorf("learning rate %g is not a finite number above 0", c.LearningRate)
	case !finite(c.WeightDecay):
		return fmt.Errorf("weight decay %g is not a finite number of 0 or more", c.WeightDecay)
	case c.Batch < 1 || c.Epochs < 1 || c.Patience < 0:
		return fmt.Errorf("batches of %d, %d epochs and a patience of %d: want at least 1, 1 and 0", c.Batch, c.Epochs, c.Patience)
	}
	return nil
}

// Aligner maps the contributions of each component into CLIP's joint space of images and texts: c_i W_i + b/n
// (CompAlign, section 4 of arXiv 2406.01583). The mapped contributions sum to the mapped representation.
type Aligner struct {
	Components   []string // n of them
	Dim, ClipDim int
	Weights      []float32 // [component, dim, clip dim]
	Bias         []float32 // [clip dim]

	Config AlignConfig
	// Pictures is how many it was trained on, Steps how many batches it took, Loss the least loss of a batch.
	Pictures, Steps int
	Loss            float64
	// Orthogonality of each component's map: how far W'W is from the identity, as the loss counts it: the mean over the
	// entries of (W'W - I)^2, times the clip dim. 0 is an isometry of CLIP's space into the model's.
	Orthogonality []float64
}

// AlignOptions are what training needs to know beyond the configuration.
type AlignOptions struct {
	// From is what the weights start from, instead of random ones: an aligner for a neighbouring lambda. It is not changed.
	From *Aligner
	// Progress is called after every picture; it may be nil.
	Progress progress.Reporter
	// Observe is called with the two terms of a batch's loss before its step, the second not yet multiplied by lambda; it
	// may be nil. At lambda 0 the second is not computed, and 0.
	Observe func(step int, cosine, orthogonality float64)
}

// AlignSource is where training takes contributions from: [Contributions], which are in memory, or a reader of what does not
// fit there.
type AlignSource interface {
	// Check tells what is wrong with the source, as far as that is known before it is read.
	Check() error
	// Sizes are the names of the components, the number of pictures and the dimension of a contribution.
	Sizes() (components []string, pictures, dim int)
	// Order draws in which order the pictures, from 0 on, are gone through in an epoch: each once.
	Order(rng *rand.Rand) []int
	// Picture copies the contributions to a picture into x [component, dim]. Pictures are requested in an order that Order
	// gave.
	Picture(picture int, x []float32) error
}

// Sizes implements [AlignSource].
func (c *Contributions) Sizes() (components []string, pictures, dim int) {
	return c.Components, c.Pictures, c.Dim
}

// Order implements [AlignSource]: any order is as likely as any other.
func (c *Contributions) Order(rng *rand.Rand) []int { return rng.Perm(c.Pictures) }

// Picture implements [AlignSource].
func (c *Contributions) Picture(picture int, x []float32) error {
	for component := range c.Components {
		copy(x[component*c.Dim:], c.Row(component, picture))
	}
	return nil
}

// Align trains an aligner on contributions and CLIP's embeddings of the same pictures, targets [picture, clip dim], of any
// length but 0. The loss of a batch is
//
//	mean(1 - cos(sum_i (c_i W_i + b/n), target)) + lambda * clip dim * mean((W_i'W_i - I)^2)
//
// with the second mean over all entries of all components, and the steps are Adam's. The same input gives the same aligner.
func Align(ctx context.Context, backend compute.Backend, source AlignSource, targets []float32, config AlignConfig, opts AlignOptions) (*Aligner, error) {
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("alignment: %w", err)
	}
	if err := source.Check(); err != nil {
		return nil, fmt.Errorf("alignment: %w", err)
	}
	components, pictures, dim := source.Sizes()
	targets, err := unitRows(targets, pictures)
	if err != nil {
		return nil, fmt.Errorf("alignment: %w", err)
	}
	bar := opts.Progress
	if bar == nil {
		bar = progress.Silent
	}
	n, clipDim := len(components), len(targets)/pictures
	a := &Aligner{
		Components: slices.Clone(components), Dim: dim, ClipDim: clipDim, Config: config, Pictures: pictures, Loss: math.Inf(1),
	}
	rng := rand.New(rand.NewPCG(config.Seed, alignStream))
	if opts.From != nil {
		if err := opts.From.fits(a); err != nil {
			return nil, fmt.Errorf("alignment: the aligner to start from %w", err)
		}
		a.Weights, a.Bias = slices.Clone(opts.From.Weights), slices.Clone(opts.From.Bias)
	} else {
		a.Weights, a.Bias = normal(rng, 0.02, n*dim*clipDim), normal(rng, 0.02, clipDim)
	}

	run, err := newAlignRun(backend, a)
	if err != nil {
		return nil, err
	}
	defer run.close()
	bar.Start("aligning", config.Epochs*pictures)
	defer bar.Done()
	patience := config.Patience
training:
	for range config.Epochs {
		for batch := range slices.Chunk(source.Order(rng), config.Batch) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			a.Steps++
			cosine, orthogonality, err := run.step(source, targets, batch, a.Steps)
			if err != nil {
				return nil, fmt.Errorf("step %d: %w", a.Steps, err)
			}
			if opts.Observe != nil {
				opts.Observe(a.Steps, cosine, orthogonality)
			}
			loss := cosine + config.Lambda*orthogonality
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				return nil, fmt.Errorf("alignment: the loss is not finite at step %d; is the learning rate too large?", a.Steps)
			}
			bar.Add(len(batch))
			patience--
			if loss < a.Loss {
				a.Loss, patience = loss, config.Patience
			}
			if config.Patience > 0 && patience <= 0 {
				break training
			}
		}
	}
	return a, run.finish()
}

// alignStream sets the random numbers of alignment apart from others of the same seed.
const alignStream = 0xa119

// normal draws size numbers of this deviation.
func normal(rng *rand.Rand, deviation float64, size int) []float32 {
	numbers := make([]float32, size)
	for i := range numbers {
		numbers[i] = float32(deviation * rng.NormFloat64())
	}
	return numbers
}

// unitRows scales the given number of rows to length 1.
func unitRows(values []float32, rows int) ([]float32, error) {
	if rows == 0 || len(values) == 0 || len(values)%rows != 0 {
		return nil, fmt.Errorf("%d numbers are not the embeddings of %d pictures", len(values), rows)
	}
	dim := len(values) / rows
	out := make([]float32, len(values))
	for i := range rows {
		var square float64
		for _, v := range values[i*dim:][:dim] {
			square += float64(v) * float64(v)
		}
		norm := math.Sqrt(square)
		if !(norm > 0) || math.IsInf(norm, 0) {
			return nil, fmt.Errorf("the embedding of picture %d has length %g, and therefore no direction", i, norm)
		}
		for d, v := range values[i*dim:][:dim] {
			out[i*dim+d] = float32(float64(v) / norm)
		}
	}
	return out, nil
}

// fits reports whether the maps of a are of the same components and spaces as those of b.
func (a *Aligner) fits(b *Aligner) error {
	switch {
	case a.Dim != b.Dim || a.ClipDim != b.ClipDim:
		return fmt.Errorf("maps %d to %d dimensions, not %d to %d", a.Dim, a.ClipDim, b.Dim, b.ClipDim)
	case !slices.Equal(a.Components, b.Components):
		return fmt.Errorf("is for other components: %s", differing(a.Components, b.Components))
	}
	return nil
}

// differing says how two lists of components differ.
func differing(has, wants []string) string {
	for i, name := range wants {
		if i >= len(has) || has[i] != name {
			if !slices.Contains(has, name) {
				return fmt.Sprintf("it does not have %s (it has %d, wanted are %d)", name, len(has), len(wants))
			}
			return fmt.Sprintf("%s is not in its place", name)
		}
	}
	return fmt.Sprintf("it has %d, wanted are %d", len(has), len(wants))
}

// alignRun is a training under way.
type alignRun struct {
	a       *Aligner
	program *gomlxvit.Program
	// state is the weights, the bias, and Adam's first and second moments of each: w, b, mw, mb, vw, vb.
	state []*tensors.Tensor
	// x [batch, component*dim], y [batch, clip dim] and share [batch] are filled anew for every batch. Rows that a last
	// batch lacks are 0 and have no share in the loss, so that one program serves all.
	x, y, share []float32
}

// newAlignRun prepares a training that begins at a's weights.
func newAlignRun(backend compute.Backend, a *Aligner) (*alignRun, error) {
	r := &alignRun{a: a}
	wide, batch := len(a.Components)*a.Dim, a.Config.Batch
	r.x, r.y, r.share = make([]float32, batch*wide), make([]float32, batch*a.ClipDim), make([]float32, batch)
	tensor := func(values []float32, dims ...int) {
		r.state = append(r.state, tensors.FromFlatDataAndDimensions(values, dims...))
	}
	tensor(a.Weights, wide, a.ClipDim)
	tensor(a.Bias, a.ClipDim)
	for range 2 {
		tensor(make([]float32, len(a.Weights)), wide, a.ClipDim)
		tensor(make([]float32, a.ClipDim), a.ClipDim)
	}
	a.Weights, a.Bias = nil, nil // until finish
	var err error
	r.program, err = gomlxvit.NewProgram(backend, "alignment", func(in []*graph.Node) []*graph.Node {
		return alignStep(in, len(a.Components), a.Config)
	})
	return r, err
}

// step takes a step on a batch of pictures and returns the two terms of the loss before it.
func (r *alignRun) step(source AlignSource, targets []float32, batch []int, step int) (cosine, orthogonality float64, err error) {
	clipDim, wide := r.a.ClipDim, len(r.a.Components)*r.a.Dim
	if len(batch) < len(r.share) {
		clear(r.x)
		clear(r.y)
		clear(r.share)
	}
	for k, picture := range batch {
		if err := source.Picture(picture, r.x[k*wide:][:wide]); err != nil {
			return 0, 0, err
		}
		copy(r.y[k*clipDim:], targets[picture*clipDim:][:clipDim])
		r.share[k] = 1 / float32(len(batch))
	}
	config := r.a.Config
	inputs := []*tensors.Tensor{
		tensors.FromFlatDataAndDimensions(r.x, len(r.share), wide), tensors.FromFlatDataAndDimensions(r.y, len(r.share), clipDim),
		tensors.FromFlatDataAndDimensions(r.share, len(r.share)),
		tensors.FromFlatDataAndDimensions(append(adam.Rates(config.LearningRate, step), float32(config.Lambda)), 3),
	}
	outputs, err := r.program.Advance(r.state, inputs...)
	if err != nil {
		return 0, 0, err
	}
	r.state = outputs[:len(r.state):len(r.state)]
	terms, err := tensors.CopyFlatData[float32](outputs[len(r.state)])
	if err != nil {
		return 0, 0, err
	}
	// Free memory now rather than when the garbage collector comes by.
	for _, t := range append(inputs, outputs[len(r.state)]) {
		if err := t.FinalizeAll(); err != nil {
			return 0, 0, err
		}
	}
	return float64(terms[0]), float64(terms[1]), nil
}

// finish takes the weights over into the aligner and measures their orthogonality.
func (r *alignRun) finish() (err error) {
	a := r.a
	if a.Weights, err = tensors.CopyFlatData[float32](r.state[0]); err != nil {
		return err
	}
	if a.Bias, err = tensors.CopyFlatData[float32](r.state[1]); err != nil {
		return err
	}
	for _, v := range a.Weights {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.New("alignment: the final weights are not finite; is the learning rate too large?")
		}
	}
	program, err := gomlxvit.NewProgram(r.program.Backend(), "orthogonality", func(in []*graph.Node) []*graph.Node {
		distance, _ := orthogonality(in[0], len(a.Components))
		return []*graph.Node{distance}
	})
	if err != nil {
		return err
	}
	defer program.Close()
	outputs, err := program.Run(r.state[0])
	if err != nil {
		return err
	}
	distance, err := tensors.CopyFlatData[float32](outputs[0])
	if err != nil {
		return err
	}
	a.Orthogonality = make([]float64, len(distance))
	for i, v := range distance {
		a.Orthogonality[i] = float64(v) / float64(a.ClipDim)
	}
	return outputs[0].FinalizeAll()
}

// close frees what the training holds on the device.
func (r *alignRun) close() {
	for _, t := range r.state {
		_ = t.FinalizeAll() // what cannot be freed now is freed when the process ends
	}
	if r.program != nil {
		r.program.Close()
	}
}

// alignStep builds a step of Adam on w [component*dim, clip dim], b [clip dim] and their moments mw, mb, vw, vb for the
// batch x [batch, component*dim], y [batch, clip dim] of unit rows, share [batch], and rates [3], those of [adam.Rates] and
// lambda. It returns the six, stepped, and the two terms of the loss before the step [2].
func alignStep(in []*graph.Node, components int, config AlignConfig) []*graph.Node {
	state, x, y, share, rates := in[:6], in[6], in[7], in[8], in[9]
	w, b := state[0], state[1]
	loss := cosineLoss(w, b, x, y, share)
	gradients := graph.Gradient(loss, w, b)
	orthogonal := graph.ScalarZero(w.Graph(), dtypes.Float32)
	if config.Lambda > 0 {
		distance, pull := orthogonality(w, components)
		entries := float64(components * w.Shape().Dim(1))
		orthogonal = graph.DivScalar(graph.ReduceAllSum(distance), entries)
		lambda := graph.Reshape(graph.SliceAxis(rates, 0, graph.AxisElem(2)))
		gradients[0] = graph.Add(gradients[0], graph.Mul(graph.DivScalar(pull, entries), lambda))
	}
	out := make([]*graph.Node, 6)
	for i, g := range gradients {
		g = graph.Add(g, graph.MulScalar(state[i], config.WeightDecay))
		out[i], out[2+i], out[4+i] = adam.Step(state[i], g, state[2+i], state[4+i], rates)
	}
	return append(out, graph.Stack([]*graph.Node{loss, orthogonal}, 0))
}

// cosineLoss builds the sum over the batch of share times (1 - cos(x w + b, y)). The sum over components is inside the
// matrix product: x [batch, component*dim] holds them side by side.
func cosineLoss(w, b, x, y, share *graph.Node) *graph.Node {
	sum := graph.Add(graph.Dot(x, w).Product(), graph.InsertAxes(b, 0))
	norm := graph.Sqrt(graph.AddScalar(graph.ReduceSum(graph.Square(sum), -1), 1e-24)) // a gradient at 0 too
	cosine := graph.Div(graph.ReduceSum(graph.Mul(sum, y), -1), norm)
	return graph.ReduceAllSum(graph.Mul(graph.OneMinus(cosine), share))
}

// orthogonality builds, for w [component*dim, clip dim], the squared Frobenius norm of W_i'W_i - I of each component
// [component], and the gradient of their sum: 4 W_i (W_i'W_i - I), shaped as w. Written out, the gradient takes one matrix
// product rather than the two of automatic differentiation; and where there are fewer dims than clip dims, the smaller
// product W_i W_i' serves, for W(W'W - I) = (WW' - I)W and |W'W - I|^2 = |WW' - I|^2 + clip dim - dim.
func orthogonality(w *graph.Node, components int) (distance, pull *graph.Node) {
	clipDim := w.Shape().Dim(1)
	dim := w.Shape().Dim(0) / components
	maps := graph.Reshape(w, components, dim, clipDim)
	side, product, back, missing := clipDim, "nij,nik->njk", "nij,njk->nik", 0.0
	if dim < clipDim {
		side, product, back, missing = dim, "nij,nkj->nik", "nki,nij->nkj", float64(clipDim-dim)
	}
	g := w.Graph()
	eye := shapes.Make(dtypes.Int32, side, side)
	identity := graph.ConvertDType(graph.Equal(graph.Iota(g, eye, 0), graph.Iota(g, eye, 1)), dtypes.Float32)
	excess := graph.Sub(graph.Einsum(product, maps, maps), graph.InsertAxes(identity, 0))
	distance = graph.AddScalar(graph.ReduceSum(graph.Square(excess), 1, 2), missing)
	pull = graph.MulScalar(graph.Einsum(back, pick(dim < clipDim, excess, maps), pick(dim < clipDim, maps, excess)), 4)
	return distance, graph.Reshape(pull, components*dim, clipDim)
}

func pick(first bool, a, b *graph.Node) *graph.Node {
	if first {
		return a
	}
	return b
}

// mapBatch is how many pictures are mapped at a time.
const mapBatch = 64

// Map maps contributions into CLIP's space: c_i W_i + b/n. They must be of the aligner's components.
func (a *Aligner) Map(ctx context.Context, backend compute.Backend, c *Contributions) (*Contributions, error) {
	if err := a.fits(&Aligner{Components: c.Components, Dim: c.Dim, ClipDim: a.ClipDim}); err != nil {
		return nil, fmt.Errorf("the aligner %w", err)
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	n := len(c.Components)
	program, err := gomlxvit.NewProgram(backend, "aligned contributions", func(in []*graph.Node) []*graph.Node {
		w, b, x := in[0], in[1], in[2]
		share := graph.DivScalar(graph.InsertAxes(b, 0, 0), float64(n))
		return []*graph.Node{graph.Add(graph.Einsum("npd,ndc->npc", x, w), share)}
	})
	if err != nil {
		return nil, err
	}
	defer program.Close()
	weights := tensors.FromFlatDataAndDimensions(a.Weights, n, a.Dim, a.ClipDim)
	bias := tensors.FromFlatDataAndDimensions(a.Bias, a.ClipDim)
	out := &Contributions{
		Components: slices.Clone(c.Components), Pictures: c.Pictures, Dim: a.ClipDim, Values: make([]float32, n*c.Pictures*a.ClipDim),
	}
	size := min(mapBatch, c.Pictures)
	x := make([]float32, n*size*a.Dim)
	for first := 0; first < c.Pictures; first += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		count := min(size, c.Pictures-first) // the rows after it are left from before, and not read
		for i := range n {
			copy(x[i*size*a.Dim:], c.Values[(i*c.Pictures+first)*c.Dim:][:count*c.Dim])
		}
		input := tensors.FromFlatDataAndDimensions(x, n, size, a.Dim)
		outputs, err := program.Run(weights, bias, input)
		if err != nil {
			return nil, err
		}
		err = tensors.ConstFlatData(outputs[0], func(mapped []float32) {
			for i := range n {
				copy(out.Values[(i*c.Pictures+first)*a.ClipDim:], mapped[i*size*a.ClipDim:][:count*a.ClipDim])
			}
		})
		if err := errors.Join(err, input.FinalizeAll(), outputs[0].FinalizeAll()); err != nil {
			return nil, err
		}
	}
	return out, errors.Join(weights.FinalizeAll(), bias.FinalizeAll())
}

// Cosines returns the cosine similarity of each row of x with the same row of y, both [row, dim]. A row without direction
// has cosine 0.
func Cosines(x, y []float32, dim int) []float64 {
	out := make([]float64, len(x)/dim)
	for i := range out {
		var xy, xx, yy float64
		for d, v := range x[i*dim:][:dim] {
			u := y[i*dim+d]
			xy += float64(v) * float64(u)
			xx += float64(v) * float64(v)
			yy += float64(u) * float64(u)
		}
		if xx > 0 && yy > 0 {
			out[i] = xy / math.Sqrt(xx*yy)
		}
	}
	return out
}

// Spread makes of one map of the representation as a whole a map of each component: the same for all.
func (a *Aligner) Spread(components []string) *Aligner {
	spread := *a
	spread.Components = slices.Clone(components)
	spread.Weights, spread.Orthogonality = nil, nil
	for range components {
		spread.Weights = append(spread.Weights, a.Weights[:a.Dim*a.ClipDim]...)
		spread.Orthogonality = append(spread.Orthogonality, a.Orthogonality[0])
	}
	return &spread
}

// Direction is the direction of the model's space along which a component's contributions score for a text t [clip dim]:
// (c W + b/n)·t = c·(W t) + const, with W t [dim].
func (a *Aligner) Direction(component int, text []float32) []float32 {
	weights := a.Weights[component*a.Dim*a.ClipDim:][:a.Dim*a.ClipDim]
	out := make([]float32, 0, a.Dim)
	for row := range slices.Chunk(weights, a.ClipDim) {
		sum := 0.0
		for c, w := range row {
			sum += float64(w) * float64(text[c])
		}
		out = append(out, float32(sum))
	}
	return out
}
