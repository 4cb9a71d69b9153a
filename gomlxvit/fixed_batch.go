package gomlxvit

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
)

// FixedBatch is what an [Architecture] implements whose graph takes a certain number of pictures only. Programs over its
// weights split what they are given into batches of that many, and pad the last with its last picture again: their inputs and
// outputs must have the pictures on axis 0.
type FixedBatch interface {
	// FixedBatch is the number of pictures, 0 for any.
	FixedBatch() int
}

// fixedBatch is the number of pictures that the program's graph takes, 0 for any.
func (p *Program) fixedBatch() int {
	if p.model == nil {
		return 0
	}
	return BatchOf(p.model.Arch)
}

// BatchOf is the number of pictures that an architecture's graph takes, 0 for any.
func BatchOf(arch Architecture) int {
	for {
		switch headed := arch.(type) { // with a head of their own
		case linearHead:
			arch = headed.Architecture
		case zeroShot:
			arch = headed.Architecture
		case FixedBatch:
			return headed.FixedBatch()
		default:
			return 0
		}
	}
}

// runFixed runs inputs of any number of pictures in batches of a fixed one.
func (p *Program) runFixed(batch int, inputs []*tensors.Tensor, run func([]*tensors.Tensor) ([]*tensors.Tensor, error)) ([]*tensors.Tensor, error) {
	total := inputs[0].Shape().Dim(0)
	for _, input := range inputs {
		if input.Rank() == 0 || input.Shape().Dim(0) != total {
			return nil, fmt.Errorf("%s: inputs of %d and %v pictures do not go together", p.name, total, input.Shape())
		}
	}
	var parts [][]*tensors.Tensor
	for first := 0; first < total; first += batch {
		part := make([]*tensors.Tensor, len(inputs))
		for i, input := range inputs {
			var err error
			if part[i], err = takePictures(input, first, batch); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		outputs, err := run(part)
		if err != nil {
			return nil, err
		}
		parts = append(parts, outputs)
	}
	joined := make([]*tensors.Tensor, len(parts[0]))
	for i := range joined {
		of := make([]*tensors.Tensor, len(parts))
		for k := range parts {
			of[k] = parts[k][i]
		}
		var err error
		if joined[i], err = joinPictures(of, batch, total); err != nil {
			return nil, fmt.Errorf("%s: output %d: %w", p.name, i, err)
		}
	}
	return joined, nil
}

// takePictures copies so many pictures from the first on; beyond the last it is copied again.
func takePictures(t *tensors.Tensor, first, count int) (*tensors.Tensor, error) {
	shape := t.Shape().Clone()
	total := shape.Dimensions[0]
	shape.Dimensions[0] = count
	part := tensors.FromShape(shape)
	var inner error
	err := t.ConstBytes(func(from []byte) {
		inner = part.MutableBytes(func(to []byte) {
			size := len(from) / total
			for i := range count {
				copy(to[i*size:], from[min(first+i, total-1)*size:][:size])
			}
		})
	})
	if err == nil {
		err = inner
	}
	return part, err
}

// joinPictures puts batches of one output together and frees them. Of the last the padding is left out.
func joinPictures(parts []*tensors.Tensor, batch, total int) (*tensors.Tensor, error) {
	shape := parts[0].Shape().Clone()
	if shape.Rank() == 0 || shape.Dimensions[0] != batch {
		return nil, fmt.Errorf("a result shaped %s does not have the %d pictures on its first axis, as it must for a model of a fixed batch", shape, batch)
	}
	shape.Dimensions[0] = total
	joined := tensors.FromShape(shape)
	var failed error
	err := joined.MutableBytes(func(to []byte) {
		size := len(to) / total
		for k, part := range parts {
			err := part.ConstBytes(func(from []byte) { copy(to[k*batch*size:], from[:min(batch, total-k*batch)*size]) })
			if err == nil {
				err = part.FinalizeAll()
			}
			if err != nil && failed == nil {
				failed = err
			}
		}
	})
	if err == nil {
		err = failed
	}
	return joined, err
}
