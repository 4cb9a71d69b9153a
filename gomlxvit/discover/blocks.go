package discover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit/mark"
)

// nameBlocks puts the residual sums into blocks and the blocks into stages: a stage begins where the stream changes its size,
// and within a stage the shortest sequence of parts that repeats is a block.
func (f *finder) nameBlocks() {
	var stages [][]*residual
	var pooled []*residual
	var last *graph.Node
	for i, r := range f.residuals {
		if f.behindPool(r) {
			pooled = append(pooled, r)
			continue
		}
		at := r.sum
		if r.stream == nil && i+1 < len(f.residuals) {
			at = f.residuals[i+1].sum // attention that no sum goes around belongs to what follows
		}
		if last == nil || !sameStage(last, at) {
			stages = append(stages, nil)
		}
		last = at
		stages[len(stages)-1] = append(stages[len(stages)-1], r)
	}
	staged := len(stages) > 1
	order := 0
	f.groupings = make(map[[2]int]string)
	for _, residuals := range stages {
		for _, members := range blocksOf(residuals) {
			number, count := 0, attentions(members)
			for _, r := range members {
				for _, s := range r.sources {
					if s.part != mark.Attn {
						continue
					}
					if name := f.grouping(s); name != "" {
						f.groupings[[2]int{count, number}] = name
					}
					number++
				}
			}
		}
	}
	for stage, residuals := range stages {
		for i, members := range blocksOf(residuals) {
			b := mark.Block{Index: order, Order: order}
			if staged {
				b = mark.Block{Staged: true, Stage: stage, Index: i, Order: order}
			}
			f.blocks = append(f.blocks, b)
			f.nameMembers(b, members)
			order++
		}
	}
	for i, r := range pooled {
		name := "pool"
		if len(pooled) > 1 {
			name += strconv.Itoa(i)
		}
		b := mark.Block{Index: order, Order: order}
		if staged {
			b = mark.Block{Staged: true, Stage: len(stages), Order: order}
		}
		if i == 0 {
			f.blocks = append(f.blocks, b)
		}
		f.nameMembers(b, []*residual{r})
		for _, s := range r.sources {
			s.at.Sublayer = strings.TrimSpace(name + " " + s.at.Sublayer)
		}
	}
}

// behindPool says whether the stream of a sum comes from an attention pooling.
func (f *finder) behindPool(r *residual) bool {
	if r.stream == nil {
		return false
	}
	found := false
	f.walk(r.stream, nil, func(n *graph.Node, _ bool) {
		if n.Type() == graph.NodeTypeDotGeneral && (f.frozen[n.Inputs()[0]] || f.frozen[n.Inputs()[1]]) {
			found = true
		}
	})
	return found
}

// sameStage says whether two residual sums are of the same size, but for a few tokens that were added.
func sameStage(a, b *graph.Node) bool {
	if a.Shape().Size() == b.Shape().Size() {
		return true
	}
	if a.Rank() != b.Rank() {
		return false
	}
	differ := 0
	for axis, d := range a.Shape().Dimensions {
		if e := b.Shape().Dim(axis); d != e {
			differ++
			if d-e > 16 || e-d > 16 || axis == a.Rank()-1 {
				return false
			}
		}
	}
	return differ == 1
}

// kindOf is what a residual sum adds, as far as blocks are alike.
func kindOf(r *residual) string {
	var parts []string
	for _, s := range r.sources {
		kind := s.part.String()
		if s.part == mark.MLP {
			kind += fmt.Sprint(s.node.Shape().Dimensions[1:])
		}
		parts = append(parts, kind)
	}
	return strings.Join(parts, "+")
}

// blocksOf cuts the sums of a stage into blocks.
func blocksOf(residuals []*residual) [][]*residual {
	kinds := make([]string, len(residuals))
	for i, r := range residuals {
		kinds[i] = kindOf(r)
	}
	for period := 1; period < len(kinds); period++ {
		if len(kinds)%period != 0 {
			continue
		}
		repeats := true
		for i := period; i < len(kinds); i++ {
			repeats = repeats && kinds[i] == kinds[i-period]
		}
		if repeats {
			return slices.Collect(slices.Chunk(residuals, period))
		}
	}
	// No sequence repeats: a block begins where something other than an MLP follows an MLP, unless all is one block of
	// several attentions, each with its MLP.
	if attentions(residuals) == len(residuals)/2 && len(residuals)%2 == 1 {
		return [][]*residual{residuals}
	}
	var blocks [][]*residual
	for i, r := range residuals {
		if i == 0 || (!isMLP(r) && isMLP(residuals[i-1])) {
			blocks = append(blocks, nil)
		}
		blocks[len(blocks)-1] = append(blocks[len(blocks)-1], r)
	}
	return blocks
}

func isMLP(r *residual) bool {
	return !slices.ContainsFunc(r.sources, func(s *source) bool { return s.part != mark.MLP })
}

func attentions(residuals []*residual) int {
	n := 0
	for _, r := range residuals {
		for _, s := range r.sources {
			if s.part == mark.Attn {
				n++
				break
			}
		}
	}
	return n
}

// nameMembers gives the sources of a block its name, and sublayers where a part is there several times.
func (f *finder) nameMembers(b mark.Block, members []*residual) {
	counts := make(map[mark.Part]int)
	for _, r := range members {
		r.block = b
		for _, s := range r.sources {
			counts[s.part]++
		}
	}
	seen := make(map[mark.Part]int)
	sublayer := ""
	for _, r := range members {
		for _, s := range r.sources {
			s.at = b
			number := seen[s.part]
			seen[s.part]++
			switch {
			case s.part == mark.Attn && counts[mark.Attn] > 1:
				if sublayer = f.groupings[[2]int{counts[mark.Attn], number}]; sublayer == "" {
					sublayer = strconv.Itoa(number)
				}
				s.at = b.Within(sublayer)
			case s.part == mark.MLP && counts[mark.Attn] > 1 && counts[mark.MLP] == counts[mark.Attn] && len(r.sources) == 1:
				s.at = b.Within(sublayer)
			case counts[s.part] > 1:
				s.at = b.Within(strconv.Itoa(number))
			}
		}
	}
}

// grouping names attention within groups of tokens as MaxViT does: "block" for neighbours, "grid" for tokens that lie far
// apart, "" for what is neither or not known.
func (f *finder) grouping(s *source) string {
	if s.heads == nil || s.heads.Windows < 2 || s.heads.Positions == nil {
		return ""
	}
	if p := s.heads.Positions; p[1]-p[0] > 1 {
		return "grid"
	}
	return "block"
}
