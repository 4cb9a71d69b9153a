package decompose

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"vitdecompose/gomlxvit/mark"
)

// Kind is what a component is.
type Kind string

// The kinds of components.
const (
	Init  Kind = "init"  // all that enters the first decomposed block
	Conv  Kind = "conv"  // what a convolution block adds
	Attn  Kind = "attns" // what an attention layer adds, its heads together
	Head  Kind = "attn_head"
	MLP   Kind = "mlp"
	Mixer Kind = "mixer" // what a token mixer without heads adds
	// PoolMLP is what the MLP of an attention that pools the tokens adds, behind all blocks.
	PoolMLP Kind = "pool_mlp"
	Rest    Kind = "rest"  // what blocks after the last decomposed one add
	Const   Kind = "const" // biases and norm shifts
)

var kindOf = map[mark.Part]Kind{mark.Conv: Conv, mark.Attn: Attn, mark.MLP: MLP, mark.Mixer: Mixer, mark.PoolMLP: PoolMLP}

// InBlock says whether components of this kind belong to a block. The others stand for themselves: init, rest,
// pool_mlp, const.
func (k Kind) InBlock() bool { return k == Conv || k == Attn || k == Head || k == MLP || k == Mixer }

// Component is one part of the representation.
type Component struct {
	Kind  Kind
	Block mark.Block // of Conv, Attn, Head, MLP and Mixer
	Head  int        // of Head
	// Tokens is the number of token positions in the component's block, which a token split is over.
	Tokens int
}

// String returns the component's published name: "init", "layer:07, attn_head:03", "layer:07, mlp", and in blocks with
// several attentions and MLPs "layer:(2,3), grid attn_head:01", "layer:(2,3), grid mlp". It is what stores, tables and
// result files hold, and [ParseComponent] reads it back.
func (c Component) String() string { return c.written(longForm) }

// Short returns the component's name in the form for figures: "L7 H3" for "layer:07, attn_head:03", "S2.3 grid MLP" for
// "layer:(2,3), grid mlp", "init".
func (c Component) Short() string { return c.written(shortForm) }

// form is a way to write components.
type form struct {
	block     func(mark.Block) string
	separator string          // between block and part
	head      string          // the part of a head, with its number
	words     map[Kind]string // of kinds that are not written as they are called
}

var (
	longForm  = form{block: mark.Block.String, separator: ", ", head: string(Head) + ":%02d"}
	shortForm = form{block: ShortBlock, separator: " ", head: "H%d", words: map[Kind]string{Attn: "attn", MLP: "MLP"}}
)

// written returns the component in a form.
func (c Component) written(f form) string {
	part := string(c.Kind)
	if word, ok := f.words[c.Kind]; ok {
		part = word
	}
	if !c.Kind.InBlock() {
		return part
	}
	if c.Kind == Head {
		part = fmt.Sprintf(f.head, c.Head)
	}
	if c.Block.Sublayer != "" {
		part = c.Block.Sublayer + " " + part
	}
	return f.block(c.Block) + f.separator + part
}

// ShortBlock returns a block's name in the form for figures, without sublayer: "L7", or "S2.14" in a staged model.
func ShortBlock(b mark.Block) string {
	if b.Staged {
		return fmt.Sprintf("S%d.%d", b.Stage, b.Index)
	}
	return fmt.Sprintf("L%d", b.Index)
}

// ParseComponent is the inverse of [Component.String]: what it returns is written as name, to the last byte. A name does
// not say how many tokens there are, nor where among all blocks that of a staged model comes: Tokens and the Order of a
// staged block are 0. [Component.CompareBlock] and [Component.SameBlock] need neither.
func ParseComponent(name string) (Component, error) {
	c := Component{Kind: Kind(name)}
	switch c.Kind {
	case Init, PoolMLP, Rest, Const:
		return c, nil
	}
	block, part, _ := strings.Cut(name, ", ")
	if place := strings.LastIndexByte(part, ' '); place >= 0 {
		c.Block.Sublayer, part = part[:place], part[place+1:]
	}
	kind, head, _ := strings.Cut(part, ":")
	c.Kind, c.Head = Kind(kind), plain(head)
	block = strings.TrimPrefix(block, "layer:")
	if stage, index, ok := strings.Cut(strings.Trim(block, "()"), ","); ok {
		c.Block.Staged, c.Block.Stage, c.Block.Index = true, plain(stage), plain(index)
	} else {
		c.Block.Index, c.Block.Order = plain(block), plain(block)
	}
	// Anything overlooked, or read as 0, shows up here.
	if !c.Kind.InBlock() || c.String() != name {
		return Component{}, fmt.Errorf("%q does not name a component; names look like \"init\", \"layer:07, attn_head:03\" and \"layer:(2,14), mlp\"", name)
	}
	return c, nil
}

// plain reads digits; anything else is 0.
func plain(digits string) int {
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// Names returns the names of components.
func Names(components []Component) []string {
	names := make([]string, len(components))
	for i, c := range components {
		names[i] = c.String()
	}
	return names
}

// ParseComponents is the inverse of [Names], as [ParseComponent] is of one name.
func ParseComponents(names []string) ([]Component, error) {
	components := make([]Component, len(names))
	for i, name := range names {
		var err error
		if components[i], err = ParseComponent(name); err != nil {
			return nil, err
		}
	}
	return components, nil
}

// CompareBlock orders components as their blocks come in the forward pass, whatever part of a block they are: init, the
// blocks, rest, pool_mlp, const. It is negative when c comes first, and 0 for components of the same block.
func (c Component) CompareBlock(other Component) int {
	place := func(c Component) int {
		switch c.Kind {
		case Init:
			return 0
		case Rest:
			return 2
		case PoolMLP:
			return 3
		case Const:
			return 4
		}
		return 1
	}
	return cmp.Or(cmp.Compare(place(c), place(other)),
		cmp.Compare(c.Block.Stage, other.Block.Stage), cmp.Compare(c.Block.Index, other.Block.Index))
}

// SameBlock says whether two components of one model belong to the same block, of whatever sublayer. init, rest, pool_mlp and
// const each count as a block of their own.
func (c Component) SameBlock(other Component) bool { return c.CompareBlock(other) == 0 }

// CompareAblation orders the components of one block as the ablation takes them: the MLPs, the attentions, the
// convolution. It is 0 for components that keep the order in which they come.
func (c Component) CompareAblation(other Component) int {
	rank := map[Kind]int{MLP: 1, Attn: 2, Head: 2, Conv: 3}
	return cmp.Compare(rank[c.Kind], rank[other.Kind])
}
