package decompose

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
)

// bundle holds the contributions at one place of the graph.
type bundle struct{ entries []*entry }

// entry is a stack of contributions. As a readout sees them node is shaped [batch, contribution*row, channel], the rows
// of one contribution together; in full shape an entry holds one contribution and node has the shape of the graph's.
type entry struct {
	keys  []Key
	node  *graph.Node
	heads *headStack // instead of node: heads that still wait for their output projection
}

// headStack holds contributions of attention heads, each living in its own channels only: node is shaped
// [batch, head, contribution*row, headDim].
type headStack struct{ node *graph.Node }

func (k Key) less(other Key) bool {
	if k.Component != other.Component {
		return k.Component < other.Component
	}
	return k.Token < other.Token
}

func (b *bundle) find(k Key) *entry {
	for _, e := range b.entries {
		if len(e.keys) == 1 && e.keys[0] == k {
			return e
		}
	}
	return nil
}

// mapNodes applies a function of nodes to all entries.
func (b *bundle) mapNodes(f func(*graph.Node) *graph.Node) *bundle {
	out := &bundle{}
	for _, e := range b.entries {
		out.entries = append(out.entries, &entry{keys: e.keys, node: f(e.materialize())})
	}
	return out
}

// materialize returns the entry's node, padding heads to the full width if need be.
func (e *entry) materialize() *graph.Node {
	if e.heads != nil {
		e.node, e.heads = padHeads(e.heads), nil
	}
	return e.node
}

// stack joins all entries into one, in place, so that an operation is applied once; not in a token split, whose entries
// are large already.
func (b *bundle) stack(join bool, constComponent int) {
	b.sumConst(constComponent)
	for _, e := range b.entries {
		e.materialize()
	}
	if !join || len(b.entries) < 2 {
		return
	}
	var nodes []*graph.Node
	var keys []Key
	for _, e := range b.entries {
		nodes = append(nodes, e.node)
		keys = append(keys, e.keys...)
	}
	b.entries = []*entry{{keys: keys, node: graph.Concatenate(nodes, 1)}}
}

// sumConst adds up, in place, all entries of the constant component that stand alone.
func (b *bundle) sumConst(constComponent int) {
	alone := []Key{{Component: constComponent}}
	var sum *entry
	kept := b.entries[:0:0]
	for _, e := range b.entries {
		switch {
		case !slices.Equal(e.keys, alone):
			kept = append(kept, e)
		case sum == nil:
			sum = e
		default:
			sum = &entry{keys: alone, node: graph.Add(sum.node, e.node)}
		}
	}
	if sum != nil {
		kept = append(kept, sum)
	}
	b.entries = kept
}

// combine adds or subtracts two bundles: what both have is combined, the rest passes.
func combine(a, b *bundle, subtract bool, channels, constComponent int) *bundle {
	a.sumConst(constComponent)
	b.sumConst(constComponent)
	if !aligned(a, b) {
		a, b = a.singles(constComponent), b.singles(constComponent)
	}
	out := &bundle{}
	used := make(map[*entry]bool)
	for _, left := range a.entries {
		right := b.withKeys(left.keys)
		switch {
		case right == nil && left.heads != nil:
			out.entries = append(out.entries, left)
		case right == nil:
			out.entries = append(out.entries, &entry{keys: left.keys, node: widen(left.node, channels)})
		case subtract:
			used[right] = true
			out.entries = append(out.entries, &entry{keys: left.keys, node: graph.Sub(left.materialize(), right.materialize())})
		default:
			used[right] = true
			out.entries = append(out.entries, &entry{keys: left.keys, node: graph.Add(left.materialize(), right.materialize())})
		}
	}
	for _, right := range b.entries {
		if used[right] {
			continue
		}
		node := widen(right.materialize(), channels)
		if subtract {
			node = graph.Neg(node)
		}
		out.entries = append(out.entries, &entry{keys: right.keys, node: node})
	}
	return out
}

// joinChannels concatenates bundles along the channels, contribution by contribution; what one of them lacks is zero
// there. channels are the widths of the bundles.
func joinChannels(parts []*bundle, join bool, constComponent int, channels []int) *bundle {
	for i, part := range parts {
		part.stack(join, constComponent)
		for _, e := range part.entries {
			e.node = widen(e.node, channels[i])
		}
	}
	for _, part := range parts[1:] {
		if !aligned(parts[0], part) {
			for i := range parts {
				parts[i] = parts[i].singles(constComponent)
			}
			break
		}
	}
	out := &bundle{}
	for i, part := range parts {
		for _, e := range part.entries {
			if slices.ContainsFunc(parts[:i], func(earlier *bundle) bool { return earlier.withKeys(e.keys) != nil }) {
				continue // joined already
			}
			nodes := make([]*graph.Node, len(parts))
			for j, other := range parts {
				if match := other.withKeys(e.keys); match != nil {
					nodes[j] = match.node
				} else {
					dims := e.node.Shape().Dimensions
					nodes[j] = graph.BroadcastToDims(graph.ScalarZero(e.node.Graph(), e.node.DType()), dims[0], dims[1], channels[j])
				}
			}
			out.entries = append(out.entries, &entry{keys: e.keys, node: graph.Concatenate(nodes, 2)})
		}
	}
	return out
}

// widen broadcasts rows whose channels were summed away.
func widen(rows *graph.Node, channels int) *graph.Node {
	if dims := rows.Shape().Dimensions; dims[2] != channels {
		return graph.BroadcastToDims(rows, dims[0], dims[1], channels)
	}
	return rows
}

func (b *bundle) withKeys(keys []Key) *entry {
	for _, e := range b.entries {
		if slices.Equal(e.keys, keys) {
			return e
		}
	}
	return nil
}

// aligned says whether every entry of one bundle is whole in the other or absent from it.
func aligned(a, b *bundle) bool {
	for _, e := range a.entries {
		if b.withKeys(e.keys) != nil {
			continue
		}
		for _, other := range b.entries {
			for _, k := range e.keys {
				if slices.Contains(other.keys, k) {
					return false
				}
			}
		}
	}
	return true
}

// singles splits all entries so that each holds one contribution, and no two the same.
func (b *bundle) singles(constComponent int) *bundle {
	out := &bundle{}
	for _, e := range b.entries {
		if len(e.keys) == 1 {
			out.entries = append(out.entries, e)
			continue
		}
		node := e.materialize()
		rows := node.Shape().Dim(1) / len(e.keys)
		for i, k := range e.keys {
			out.entries = append(out.entries, &entry{
				keys: []Key{k}, node: graph.SliceAxis(node, 1, graph.AxisRange(i*rows, (i+1)*rows)),
			})
		}
	}
	out.sumConst(constComponent) // a stack may have held one beside another that stood alone
	return out
}

// spreadBias adds an equal part of a constant's rows [batch, row, channel] to each of the total contributions that reach it,
// as far as they are in this bundle.
func (b *bundle) spreadBias(constant *graph.Node, total, channels int) *bundle {
	part := graph.DivScalar(constant, float64(total))
	out := &bundle{}
	for _, e := range b.entries {
		node := widen(e.materialize(), channels)
		dims := node.Shape().Dimensions
		rows := part.Shape().Dim(1)
		if dims[1] != rows*len(e.keys) {
			panic(fmt.Errorf("cannot share a bias of %d rows over %d contributions of %d rows", rows, len(e.keys), dims[1]))
		}
		stacked := graph.Reshape(node, dims[0], len(e.keys), rows, dims[2])
		node = graph.Reshape(graph.Add(stacked, graph.InsertAxes(part, 1)), dims...)
		out.entries = append(out.entries, &entry{keys: e.keys, node: node})
	}
	return out
}
