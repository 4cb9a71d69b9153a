package decompose

import (
	"fmt"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/mark"
)

// TokenScores takes one number of the representation apart by component and token: z·direction, for z [batch, dim] and a
// direction [batch or 1, dim] that counts as a constant. The result is the token split of [Transform], each contribution
// multiplied with the direction, but no contribution is ever computed: what lies between a component and the representation
// is linear, so its transpose is applied to the direction, once for each component, and meets the component's tokens there.
// This costs next to nothing beside the forward pass.
//
// Scored are the blocks that opts choose. Its Split and Biases do not matter: heads are split, biases have no token.
func TokenScores(z, direction *graph.Node, opts Options) []TokenScore {
	opts.Split, opts.Biases, opts.scores = Heads, BiasesApart, &scoring{}
	t := newTransform(z, opts)
	l := t.layout(z)
	if !l.known || l.tokens != 1 {
		panic(fmt.Errorf("token scores need the selection of tokens to be marked (mark.TokensOf) up to the representation"))
	}
	value := t.value(z, &readout{tokens: []int{0}})
	if len(opts.scores.sources) == 0 {
		panic(fmt.Errorf("nothing to score: no block of %d to %d contributes to the representation", opts.First, opts.End-1))
	}
	var sum *graph.Node
	for _, e := range value.entries {
		s := graph.ReduceAllSum(graph.Mul(e.node, graph.InsertAxes(direction, 1)))
		if sum == nil {
			sum = s
		} else {
			sum = graph.Add(sum, s)
		}
	}
	leaves := make([]*graph.Node, len(opts.scores.sources))
	for i, s := range opts.scores.sources {
		leaves[i] = s.leaf
	}
	var scores []TokenScore
	for i, transposed := range graph.Gradient(sum, leaves...) {
		scores = t.addScore(scores, opts.scores.sources[i], transposed)
	}
	slices.SortStableFunc(scores, func(a, b TokenScore) int { return a.first - b.first })
	for i := range scores {
		scores[i].Components = t.components[scores[i].first:][:len(scores[i].Components)]
	}
	return scores
}

// TokenScore holds the scores of the components of one marked node: the heads of an attention, or one other component.
type TokenScore struct {
	Components []Component
	// Node is shaped [batch, component, token].
	Node *graph.Node
	// Positions gives for each token its position in the block, class and register tokens first, then row by row.
	Positions []int

	first int // index of the first component
}

// scoring collects the sources of components, as readouts see them, while the transform walks.
type scoring struct{ sources []scoreSource }

// scoreSource is a source of which contributions are linear functions of leaf, zeros [batch, row, channel] in its place.
type scoreSource struct {
	node *graph.Node
	source
	r    *readout
	leaf *graph.Node
}

// leafEntry puts zeros in the place of what r reads of the source n, and notes them.
func (t *transform) leafEntry(n *graph.Node, s source, r *readout) *bundle {
	if s.kind == Init || s.kind == Rest || s.kind == PoolMLP {
		return &bundle{}
	}
	if r == nil {
		panic(fmt.Errorf("token scores cannot pass a node that does not treat all tokens alike, between %s and the representation", t.components[s.first]))
	}
	leaf := graph.BroadcastToDims(graph.ScalarZero(t.graph, n.DType()), t.batch, r.rows(), t.layout(n).channels)
	t.opts.scores.sources = append(t.opts.scores.sources, scoreSource{n, s, r, leaf})
	return &bundle{entries: []*entry{{keys: []Key{{Component: s.first}}, node: leaf}}}
}

// addScore multiplies the tokens of a source with the transposed direction [batch, row, channel]. What is read of a source
// in several ways (by the four parts of a patch merging) adds up.
func (t *transform) addScore(scores []TokenScore, s scoreSource, transposed *graph.Node) []TokenScore {
	score := TokenScore{first: s.first, Components: make([]Component, 1)}
	if s.kind == Head {
		weights, values := t.readAttention(s.attention, s.r) // [batch, head, row, token], [batch, token, head, headDim]
		heads := s.attention.Heads
		score.Components = make([]Component, heads)
		byHead := graph.Reshape(transposed, t.batch, s.r.rows(), heads, transposed.Shape().Dim(2)/heads)
		score.Node = graph.ReduceSum(graph.Mul(weights, graph.Einsum("bthd,brhd->bhrt", values, byHead)), 2)
		score.Positions = upTo(weights.Shape().Dim(3))
		if s.attention.Positions != nil {
			score.Positions = s.attention.Positions
		}
	} else {
		taken := takeTokens(t.flatten(s.node, s.node), s.r.tokens) // [batch, token, channel]
		if s.r.weights != nil {
			transposed = graph.Einsum("brt,brc->btc", graph.BroadcastToDims(s.r.weights, t.batch, s.r.rows(), len(s.r.tokens)), transposed)
		}
		score.Node = graph.InsertAxes(graph.ReduceSum(graph.Mul(taken, transposed), -1), 1)
		score.Positions = s.r.tokens
	}
	for i := range scores {
		if scores[i].first == score.first && slices.Equal(scores[i].Positions, score.Positions) {
			scores[i].Node = graph.Add(scores[i].Node, score.Node)
			return scores
		}
	}
	return append(scores, score)
}

// LogitDirection is the direction of the representation z [batch, dim] in which the logit chosen by class [batch], of
// integers, rises: [batch, dim]. It is the row of a linear head's weight. Of a head that is not linear it is the gradient
// at z, with norms at their actual statistics, as everywhere in a decomposition.
func LogitDirection(w gomlxvit.Weights, arch gomlxvit.Architecture, z, class *graph.Node) *graph.Node {
	at := graph.StopGradient(z)
	logits := arch.Head(w, at)
	if logits == nil {
		panic(fmt.Errorf("the model has no classifier head whose logits could be taken apart"))
	}
	leaf := graph.Identity(at)
	chosen := graph.OneHot(class, logits.Shape().Dim(-1), logits.DType())
	held := holdStatistics(logits, at, leaf)
	return graph.Gradient(graph.ReduceAllSum(graph.Mul(held, chosen)), leaf)[0]
}

// holdStatistics clones what leads from one node to n, with another node in its place, but not the marked statistics on the
// way: they stay as they are.
func holdStatistics(n, from, to *graph.Node) *graph.Node {
	statistics := mark.Of(n.Graph()).Statistics
	clones := map[*graph.Node]*graph.Node{from: to}
	var clone func(n *graph.Node) *graph.Node
	clone = func(n *graph.Node) *graph.Node {
		if c, ok := clones[n]; ok {
			return c
		}
		clones[n] = n
		if statistics[n] {
			return n
		}
		inputs := slices.Clone(n.Inputs())
		for i, input := range inputs {
			inputs[i] = clone(input)
		}
		if !slices.Equal(inputs, n.Inputs()) {
			clones[n] = n.CloneWithInputs(inputs...)
		}
		return clones[n]
	}
	return clone(n)
}

// Scorer takes logits, or other numbers of the representation, apart by component and token. It may be used from several
// goroutines.
type Scorer struct {
	model   *gomlxvit.Model
	program *gomlxvit.Program
	along   bool // directions are given, rather than classes

	mu     sync.Mutex
	scores []TokenScore // of the last graph built; its nodes are not used, only what they mean
}

// ScoredComponent is what one component adds to a logit of each picture of a batch, token by token.
type ScoredComponent struct {
	Component
	Values []float32 // [batch, Component.Tokens], class and register tokens first, then row by row
}

// NewScorer prepares the scores of a model with a head. Of opts it takes First and End.
func NewScorer(backend compute.Backend, model *gomlxvit.Model, opts Options) (*Scorer, error) {
	if model.Arch.NumClasses() == 0 {
		return nil, fmt.Errorf("%s has no classifier head whose logits could be taken apart", model.Name)
	}
	return newScorer(backend, model, opts, false, func(w gomlxvit.Weights, z, class *graph.Node) (direction, first *graph.Node) {
		return LogitDirection(w, model.Arch, z, class), model.Arch.Head(w, z)
	})
}

// newScorer is a scorer along what the function along gives for z and the second input, with a number of z to return first.
func newScorer(backend compute.Backend, model *gomlxvit.Model, opts Options, directions bool, along func(w gomlxvit.Weights, z, input *graph.Node) (direction, first *graph.Node)) (*Scorer, error) {
	opts, err := opts.forModel(model)
	if err != nil {
		return nil, err
	}
	s := &Scorer{model: model, along: directions}
	s.program, err = model.Compile(backend, func(w gomlxvit.Weights, inputs []*graph.Node) []*graph.Node {
		z := model.Arch.Representation(w, inputs[0])
		direction, first := along(w, z, inputs[1])
		scores := TokenScores(z, direction, opts)
		outputs := []*graph.Node{first}
		for _, score := range scores {
			outputs = append(outputs, score.Node)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.scores = scores
		return outputs
	})
	return s, err
}

// Close frees the compiled graphs.
func (s *Scorer) Close() { s.program.Close() }

// Run scores a batch of pictures, pixels [batch, 3, height, width], each for the logit of its class. It returns the
// components in forward order and the logits [batch, class].
func (s *Scorer) Run(pixels *tensors.Tensor, classes []int) ([]ScoredComponent, []float32, error) {
	batch := pixels.Shape().Dim(0)
	if s.along {
		return nil, nil, fmt.Errorf("%s: the scorer was made for directions; use RunAlong", s.model.Name)
	}
	if len(classes) != batch {
		return nil, nil, fmt.Errorf("%s: %d classes for %d pictures", s.model.Name, len(classes), batch)
	}
	index := make([]int32, batch)
	for i, class := range classes {
		if class < 0 || class >= s.model.Arch.NumClasses() {
			return nil, nil, fmt.Errorf("%s has no class %d: it has %d, counted from 0", s.model.Name, class, s.model.Arch.NumClasses())
		}
		index[i] = int32(class)
	}
	return s.run(batch, pixels, tensors.FromFlatDataAndDimensions(index, batch))
}

// run runs the graph and sorts what it gives by component; first comes what the graph gives before the scores.
func (s *Scorer) run(batch int, inputs ...*tensors.Tensor) ([]ScoredComponent, []float32, error) {
	outputs, err := s.program.Run(inputs...)
	if err != nil {
		return nil, nil, err
	}
	flat, err := flatten(s.model, outputs)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []ScoredComponent
	for i, score := range s.scores {
		components, tokens := len(score.Components), len(score.Positions)
		for k, c := range score.Components {
			if len(out) == 0 || out[len(out)-1].Component != c {
				out = append(out, ScoredComponent{c, make([]float32, batch*c.Tokens)})
			}
			values := out[len(out)-1].Values
			for picture := range batch {
				for j, v := range flat[1+i][(picture*components+k)*tokens:][:tokens] {
					values[picture*c.Tokens+score.Positions[j]] += v
				}
			}
		}
	}
	return out, flat[0], nil
}
