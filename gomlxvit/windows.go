package gomlxvit

import (
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// windows says how the tokens of a square grid are put into groups that attend only within themselves: windows of
// neighbours, shifted or not (Swin, MaxViT's block attention), or tokens that lie far apart (MaxViT's grid attention).
type windows struct {
	side  int // tokens along one side of the grid
	size  int // tokens along one side of a group; it divides side
	shift int // the grid is rolled up and to the left by this many tokens before it is cut into windows
	// apart makes groups of the tokens whose coordinates agree modulo side/size; else a group is a window of neighbours.
	apart bool
	// maskedTwice adds the mask of shifting twice.
	maskedTwice bool
}

// area is the number of tokens in a group.
func (g windows) area() int { return g.size * g.size }

// count is the number of groups.
func (g windows) count() int { return g.side * g.side / g.area() }

// positions gives for each token, group by group, its position on the grid, counted row by row.
func (g windows) positions() []int {
	along := g.side / g.size // groups along one side
	coordinate := func(group, member int) int {
		if g.apart {
			return member*along + group
		}
		return (group*g.size + member + g.shift) % g.side
	}
	positions := make([]int, 0, g.side*g.side)
	for group := range along * along {
		for member := range g.area() {
			y, x := coordinate(group/along, member/g.size), coordinate(group%along, member%g.size)
			positions = append(positions, y*g.side+x)
		}
	}
	return positions
}

// partition puts tokens [batch, token, channel] in the order of [windows.positions], as [batch*group, member, channel].
func (g windows) partition(x *graph.Node) *graph.Node {
	batch, channels := x.Shape().Dim(0), x.Shape().Dim(2)
	along := g.side / g.size
	x = graph.Reshape(x, batch, g.side, g.side, channels)
	x = roll(roll(x, 1, g.shift), 2, g.shift)
	if g.apart {
		x = graph.Reshape(x, batch, g.size, along, g.size, along, channels)
		x = graph.TransposeAllAxes(x, 0, 2, 4, 1, 3, 5)
	} else {
		x = graph.Reshape(x, batch, along, g.size, along, g.size, channels)
		x = graph.TransposeAllAxes(x, 0, 1, 3, 2, 4, 5)
	}
	return graph.Reshape(x, batch*g.count(), g.area(), channels)
}

// merge undoes partition: tokens [batch, token, channel] in the order of the groups come back row by row.
func (g windows) merge(grouped *graph.Node) *graph.Node {
	batch, tokens, channels := grouped.Shape().Dim(0), grouped.Shape().Dim(1), grouped.Shape().Dim(2)
	along := g.side / g.size
	x := graph.Reshape(grouped, batch, along, along, g.size, g.size, channels)
	if g.apart {
		x = graph.TransposeAllAxes(x, 0, 3, 1, 4, 2, 5)
	} else {
		x = graph.TransposeAllAxes(x, 0, 1, 3, 2, 4, 5)
	}
	x = graph.Reshape(x, batch, g.side, g.side, channels)
	back := (g.side - g.shift) % g.side
	x = graph.Reshape(roll(roll(x, 1, back), 2, back), batch, tokens, channels)

	index := make([][]int, tokens)
	for from, to := range g.positions() {
		index[to] = []int{from}
	}
	mark.TokensOf(x, grouped, mark.TokenMap{Index: index, Weight: 1})
	return x
}

// roll moves the elements of an axis n places towards its start; those that fall off come in at the end.
func roll(x *graph.Node, axis, n int) *graph.Node {
	if n == 0 {
		return x
	}
	length := x.Shape().Dim(axis)
	return graph.Concatenate([]*graph.Node{
		graph.SliceAxis(x, axis, graph.AxisRange(n, length)), graph.SliceAxis(x, axis, graph.AxisRange(0, n)),
	}, axis)
}

// maskedScore is added to the attention score of two tokens that share a window only because the grid was rolled.
const maskedScore = -100

// mask is what shifting adds to scores, [group, 1, query, key] of the type of like; nil without shift. The last rows of
// windows hold tokens from the bottom of the grid together with some rolled there from the top (and so for columns):
// they must not attend to each other.
func (g windows) mask(like *graph.Node) *graph.Node {
	if g.shift == 0 {
		return nil
	}
	region := func(coordinate int) int32 { // of a coordinate on the rolled grid
		switch {
		case coordinate < g.side-g.size:
			return 0
		case coordinate < g.side-g.shift:
			return 1
		}
		return 2
	}
	along := g.side / g.size
	regions := make([][]int32, g.count())
	for group := range regions {
		for member := range g.area() {
			y, x := group/along*g.size+member/g.size, group%along*g.size+member%g.size
			regions[group] = append(regions[group], 3*region(y)+region(x))
		}
	}
	of := graph.Const(like.Graph(), regions)
	strangers := graph.NotEqual(
		graph.BroadcastToDims(graph.Reshape(of, g.count(), 1, g.area(), 1), g.count(), 1, g.area(), g.area()),
		graph.BroadcastToDims(graph.Reshape(of, g.count(), 1, 1, g.area()), g.count(), 1, g.area(), g.area()),
	)
	score := float64(maskedScore)
	if g.maskedTwice {
		score *= 2
	}
	return graph.MulScalar(graph.ConvertDType(strangers, like.DType()), score)
}

// windowAttention is an attention layer whose tokens attend within groups.
type windowAttention struct {
	windows
	block  mark.Block
	prefix string // of the names of qkv and proj
	heads  int
	// table [offset, head] holds a learned number for each offset (dy, dx) between two tokens of a group, at
	// (dy+size-1)*(2*size-1) + dx+size-1.
	table *graph.Node
	// keyMinusQuery takes the offset from query to key; else it is taken from key to query.
	keyMinusQuery bool
	qkvBias       *graph.Node // of queries, keys and values, [3*width], nil for none
	// headFirst says that the rows of qkv are the queries, keys and values of one head after the other; else those of all heads.
	headFirst bool
	// prepare changes queries and keys, nil for none, as in multiHead.
	prepare func(q, k *graph.Node) (*graph.Node, *graph.Node)
}

// apply computes the attention of x [batch, token, in] with its output projection [batch, token, out]:
//
//	softmax(QKᵀ/√d + relative position bias + mask) V
func (a *windowAttention) apply(w Weights, x *graph.Node) *graph.Node {
	batch, tokens := x.Shape().Dim(0), x.Shape().Dim(1)
	rows := func(layer *graph.Node) *graph.Node { return layer }
	if a.headFirst {
		rows = a.byPart
	}
	qkv := contractLast(w, a.partition(x), rows(w.Get(a.prefix+"qkv.weight")))
	if a.qkvBias != nil {
		qkv = addBias(qkv, rows(a.qkvBias))
	}
	merged, weights, values := multiHead(w, qkv, a.heads, a.bias(batch), a.prepare)
	merged = graph.Reshape(merged, batch, tokens, merged.Shape().Dim(2))
	mark.Heads(merged, mark.Attention{
		Block: a.block, Heads: a.heads, Weights: weights, Values: values, QKV: qkv,
		Windows: a.count(), Positions: a.positions(),
	})
	out := contractLast(w, merged, w.Get(a.prefix+"proj.weight"))
	mark.Component(out, a.block, mark.Attn)
	return a.merge(addBias(out, w.Get(a.prefix+"proj.bias")))
}

// byPart takes rows that are ordered (head, 3, headDim), of a weight or of a bias, to the order (3, head, headDim).
func (a *windowAttention) byPart(layer *graph.Node) *graph.Node {
	rows := layer.Shape().Dim(0)
	columns := layer.Shape().Size() / rows
	x := graph.Reshape(layer, a.heads, 3, rows/a.heads/3, columns)
	return graph.Reshape(graph.Transpose(x, 0, 1), layer.Shape().Dimensions...)
}

// bias is the relative position bias and the mask, [batch*group or 1, head, query, key].
func (a *windowAttention) bias(batch int) *graph.Node {
	area := a.area()
	offsets := make([][]int32, 0, area*area) // row of the table for each query and key
	for query := range area {
		for key := range area {
			dy, dx := query/a.size-key/a.size, query%a.size-key%a.size
			if a.keyMinusQuery {
				dy, dx = -dy, -dx
			}
			offsets = append(offsets, []int32{int32((dy+a.size-1)*(2*a.size-1) + dx + a.size - 1)})
		}
	}
	bias := graph.Gather(a.table, graph.Const(a.table.Graph(), offsets)) // [query*key, head]
	bias = graph.Reshape(graph.Transpose(bias, 0, 1), 1, a.heads, area, area)
	mask := a.mask(bias)
	if mask == nil {
		return bias
	}
	bias = graph.InsertAxes(graph.Add(bias, mask), 0) // [1, group, head, query, key]
	return graph.Reshape(graph.BroadcastToDims(bias, batch, a.count(), a.heads, area, area), batch*a.count(), a.heads, area, area)
}

// computedBias is a table [offset, head] for [windowAttention], which two layers compute of the offsets (dy, dx) on the scale that
// coordinate gives. It is without the bias of the second layer.
func computedBias(w Weights, fc1, fc2 string, size int, coordinate func(offset int) float32) *graph.Node {
	var offsets [][]float32
	for dy := 1 - size; dy < size; dy++ {
		for dx := 1 - size; dx < size; dx++ {
			offsets = append(offsets, []float32{coordinate(dy), coordinate(dx)})
		}
	}
	weight := w.Get(fc1 + ".weight")
	x := graph.ConvertDType(graph.Const(weight.Graph(), offsets), weight.DType())
	hidden := activate(addBias(contractLast(w, x, weight), w.Get(fc1+".bias")), ReLU)
	return contractLast(w, hidden, w.Get(fc2+".weight"))
}
