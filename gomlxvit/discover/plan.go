package discover

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// plan is what was found in a graph, by the positions of its nodes in its structure: the same function
// builds the same graph for another batch, and need not be searched again.
type plan struct {
	types []graph.NodeType
	ranks []int

	inputs     map[int]mark.Block
	components map[int]mark.ComponentMark
	reads      map[int]mark.ComponentMark
	heads      map[int]plannedHeads
	statistics []int
	tokenMaps  map[int]plannedTokens
	joins      map[int]plannedJoin
}

type plannedHeads struct {
	mark.Attention
	product int
	layout  *attentionLayout // nil where heads are in no standard order
}

type plannedTokens struct {
	mark.TokenMap
	input int
}

type plannedJoin struct {
	parts []mark.TokenMap
	input int
}

// structural lists what a node is computed from, from the pixels on, and itself, in an order that depends on nothing but the graph's
// structure: not on when weights became parameters of it, nor on where pixels come from.
func structural(z, pixels *graph.Node) []*graph.Node {
	var list []*graph.Node
	seen := map[*graph.Node]bool{z: true}
	type frame struct {
		n    *graph.Node
		next int
	}
	stack := []frame{{n: z}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.n == pixels || top.next == len(top.n.Inputs()) {
			list = append(list, top.n)
			stack = stack[:len(stack)-1]
			continue
		}
		input := top.n.Inputs()[top.next]
		top.next++
		if !seen[input] {
			seen[input] = true
			stack = append(stack, frame{n: input})
		}
	}
	return list
}

// plan makes a plan of what was found.
func (f *finder) plan() *plan {
	position := make(map[*graph.Node]int, len(f.nodes))
	p := &plan{
		inputs: make(map[int]mark.Block), components: make(map[int]mark.ComponentMark), reads: make(map[int]mark.ComponentMark),
		heads:     make(map[int]plannedHeads),
		tokenMaps: make(map[int]plannedTokens), joins: make(map[int]plannedJoin),
	}
	for i, n := range structural(f.z, f.pixels) {
		position[n] = i
		p.types = append(p.types, n.Type())
		p.ranks = append(p.ranks, n.Rank())
	}
	for n := range f.inits {
		first := mark.Block{}
		for _, r := range f.residuals {
			if r.input == n {
				first = r.block
				break
			}
		}
		first.Order, first.Sublayer = 0, ""
		p.inputs[position[n]] = first
	}
	var previous *mark.Block
	for _, r := range f.residuals {
		if r.input != nil && (previous == nil || *previous != r.block) {
			if _, ok := p.inputs[position[r.input]]; !ok {
				p.inputs[position[r.input]] = r.block
			}
		}
		block := r.block
		previous = &block
		for _, s := range r.sources {
			if read := f.readBy(r, s); read != nil {
				p.reads[position[read]] = mark.ComponentMark{Block: s.at, Part: s.part}
			}
			if s.heads == nil {
				p.components[position[s.node]] = mark.ComponentMark{Block: s.at, Part: s.part}
				continue
			}
			s.heads.Block = s.at
			if s.layer != nil {
				p.components[position[s.layer]] = mark.ComponentMark{Block: s.at, Part: mark.Attn}
			}
			p.heads[position[s.node]] = plannedHeads{*s.heads, position[s.product], s.layout}
		}
	}
	for _, n := range f.nodes {
		if !f.path[n] {
			continue
		}
		if _, statistic, ok := f.linear(n); ok && statistic != nil {
			p.statistics = append(p.statistics, position[statistic])
		}
	}
	for n, m := range f.tokenMaps {
		p.tokenMaps[position[n]] = plannedTokens{m.TokenMap, position[m.Input]}
	}
	for n, j := range f.joins {
		p.joins[position[n]] = plannedJoin{j.Parts, position[j.Input]}
	}
	return p
}

// apply notes the plan in the marks of the graph that computes z. It is an error if that is another graph.
func (p *plan) apply(z, pixels *graph.Node) error {
	nodes, batch := structural(z, pixels), pixels.Shape().Dim(0)
	if len(nodes) != len(p.types) {
		return fmt.Errorf("the function builds another graph for another batch: %d nodes instead of %d", len(nodes), len(p.types))
	}
	for i, n := range nodes {
		if n != pixels && (n.Type() != p.types[i] || n.Rank() != p.ranks[i]) {
			return fmt.Errorf("the function builds another graph for another batch: %s of %d axes instead of %s of %d", n.Type(), n.Rank(), p.types[i], p.ranks[i])
		}
	}
	t := mark.Of(z.Graph())
	for i, block := range p.inputs {
		t.Inputs[nodes[i]] = block
	}
	for i, c := range p.components {
		t.Components[nodes[i]] = c
	}
	for i, c := range p.reads {
		t.Reads[nodes[i]] = c
	}
	for _, i := range p.statistics {
		t.Statistics[nodes[i]] = true
	}
	for i, m := range p.tokenMaps {
		t.TokenMaps[nodes[i]] = mark.Tokens{TokenMap: m.TokenMap, Input: nodes[m.input]}
	}
	for i, j := range p.joins {
		t.Joins[nodes[i]] = mark.Join{Parts: j.parts, Input: nodes[j.input]}
	}
	for i := range nodes { // in order, so that what is added to the graph is always the same
		h, ok := p.heads[i]
		if !ok {
			continue
		}
		a := h.Attention
		if h.layout != nil {
			a.Weights, a.Values = h.layout.nodes(nodes[h.product], batch)
		}
		t.Heads[nodes[i]] = a
	}
	return nil
}
