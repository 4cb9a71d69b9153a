package gomlxvit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// WithLinearHead returns the model with a linear classifier of its representation z in place of the head it has, if any:
//
//	logits = W z + b
//
// weight W is [class, dim], row after row, bias b [class]. classNames, one for each class, may be nil.
func (m *Model) WithLinearHead(weight, bias []float32, classNames []string) (*Model, error) {
	classes, dim := len(bias), m.Arch.OutputDim()
	switch {
	case classes == 0:
		return nil, fmt.Errorf("%s: a linear head needs classes, and there are none", m.Name)
	case len(weight) != classes*dim:
		return nil, fmt.Errorf("%s: a linear head of %d classes needs %d weights for %d channels, not %d", m.Name, classes, classes*dim, dim, len(weight))
	case classNames != nil && len(classNames) != classes:
		return nil, fmt.Errorf("%s: %d names for the %d classes of a linear head", m.Name, len(classNames), classes)
	}
	return m.withHead(linearHead{Architecture: m.Arch, classes: classes}, classNames, map[string]*tensors.Tensor{
		linearHeadWeight: tensors.FromFlatDataAndDimensions(slices.Clone(weight), classes, dim),
		linearHeadBias:   tensors.FromFlatDataAndDimensions(slices.Clone(bias), classes),
	})
}

// withHead returns the model as another architecture that adds weights, which become part of its hash.
func (m *Model) withHead(arch Architecture, classNames []string, added map[string]*tensors.Tensor) (*Model, error) {
	head := m.WithClassNames(classNames)
	head.Arch = arch
	head.weights = maps.Clone(m.weights)
	sum := sha256.New()
	sum.Write([]byte(m.Hash))
	for _, name := range slices.Sorted(maps.Keys(added)) {
		numbers, err := tensors.CopyFlatData[float32](added[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Name, name, err)
		}
		if err := binary.Write(sum, binary.LittleEndian, numbers); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m.Name, name, err)
		}
		head.weights[name] = added[name]
	}
	head.Hash = hex.EncodeToString(sum.Sum(nil))
	return head, nil
}

// The weights of a head that no checkpoint has.
const (
	linearHeadWeight = "linear_head.weight" // [class, dim]
	linearHeadBias   = "linear_head.bias"   // [class]
)

// linearHead is an architecture with a linear head.
type linearHead struct {
	Architecture
	classes int
}

// Params implements Architecture.
func (l linearHead) Params() []Param {
	return append(l.Architecture.Params(),
		Param{Name: linearHeadWeight, Dims: []int{l.classes, l.OutputDim()}}, Param{Name: linearHeadBias, Dims: []int{l.classes}})
}

// NumClasses implements Architecture.
func (l linearHead) NumClasses() int { return l.classes }

// Head implements Architecture.
func (l linearHead) Head(w Weights, representation *graph.Node) *graph.Node {
	return addBias(contractLast(w, representation, w.Get(linearHeadWeight)), w.Get(linearHeadBias))
}
