package saliency

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"vitdecompose/gomlxvit"
	"vitdecompose/gomlxvit/golden"
)

// matrix is [row][column].
type matrix [][]float64

func zeros(rows, columns int) matrix {
	m := make(matrix, rows)
	for i := range m {
		m[i] = make([]float64, columns)
	}
	return m
}

// rowsOf cuts numbers into rows of a length.
func rowsOf(flat []float64, length int) matrix {
	var m matrix
	for ; len(flat) > 0; flat = flat[length:] {
		m = append(m, flat[:length])
	}
	return m
}

func (m matrix) sum() float64 {
	sum := 0.0
	for _, row := range m {
		for _, v := range row {
			sum += v
		}
	}
	return sum
}

func (m matrix) float32s() []float32 {
	var flat []float32
	for _, row := range m {
		flat = append(flat, float32s(row)...)
	}
	return flat
}

// The rules of the method, number by number.

func divide(r, z float64) float64 {
	if z == 0 {
		return 0
	}
	return r / (z + 1e-9)
}

// linearRule passes relevance of x wᵀ to x: x_i w_ji counts where it is positive.
func linearRule(relevance, x, w matrix) matrix {
	out := zeros(len(x), len(x[0]))
	for token := range x {
		for j := range w {
			z := 0.0
			for i, v := range x[token] {
				z += max(0, v*w[j][i])
			}
			for i, v := range x[token] {
				out[token][i] += divide(relevance[token][j], z) * max(0, v*w[j][i])
			}
		}
	}
	return out
}

// residualRule passes relevance of a + b to both.
func residualRule(relevance, a, b matrix) (ra, rb matrix) {
	ra, rb = zeros(len(a), len(a[0])), zeros(len(a), len(a[0]))
	for i := range a {
		for j := range a[i] {
			s := divide(relevance[i][j], a[i][j]+b[i][j])
			ra[i][j], rb[i][j] = a[i][j]*s, b[i][j]*s
		}
	}
	whole, sumA, sumB := relevance.sum(), ra.sum(), rb.sum()
	factor := func(sum float64) float64 {
		return divide(divide(math.Abs(sum), math.Abs(sumA)+math.Abs(sumB))*whole, sum)
	}
	fa, fb := factor(sumA), factor(sumB)
	for i := range a {
		for j := range a[i] {
			ra[i][j] *= fa
			rb[i][j] *= fb
		}
	}
	return ra, rb
}

// cloneRule joins what two consumers of x passed back.
func cloneRule(x, r, s matrix) matrix {
	out := zeros(len(x), len(x[0]))
	for i := range x {
		for j, v := range x[i] {
			out[i][j] = v * (divide(r[i][j], v) + divide(s[i][j], v))
		}
	}
	return out
}

// attentionRule passes relevance of the merged heads [token][channel] to qkv [token][3*channel], and returns that of the
// attention weights [head*query][key].
func attentionRule(relevance, attention, qkv matrix, heads int) (ofQKV, ofAttention matrix) {
	tokens, width := len(qkv), len(qkv[0])/3
	dim := width / heads
	ofQKV, ofAttention = zeros(tokens, 3*width), zeros(heads*tokens, tokens)
	for h := range heads {
		query, key, value := h*dim, width+h*dim, 2*width+h*dim
		for q := range tokens {
			weights := attention[h*tokens+q]
			for d := range dim {
				z := 0.0
				for k, weight := range weights {
					z += weight * qkv[k][value+d]
				}
				s := divide(relevance[q][h*dim+d], z)
				for k, weight := range weights {
					ofAttention[h*tokens+q][k] += weight * qkv[k][value+d] * s / 2
					ofQKV[k][value+d] += weight * qkv[k][value+d] * s / 2
				}
			}
		}
		for q := range tokens {
			for k := range tokens {
				z := 0.0
				for d := range dim {
					z += qkv[q][query+d] * qkv[k][key+d]
				}
				s := divide(ofAttention[h*tokens+q][k], z)
				for d := range dim {
					term := qkv[q][query+d] * qkv[k][key+d] * s / 2
					ofQKV[q][query+d] += term
					ofQKV[k][key+d] += term
				}
			}
		}
	}
	return ofQKV, ofAttention
}

// TestCheferRules computes the relevance of the last two blocks of a small model a second time, with loops over numbers
// instead of a graph, and the map from what comes out of it.
func TestCheferRules(t *testing.T) {
	model := tinyModel(t, "vit_tiny_patch16_224", nil)
	const blocks, heads, tokens, width, class = 3, 2, 17, 12, 3
	flat := evaluate(t, model, func(w gomlxvit.Weights, in []*graph.Node) []*graph.Node {
		p := propagate(model.Arch, w, in[0], in[1])
		sums := residuals(p)
		representation := model.Arch.Representation(doubles{w}, graph.ConvertDType(in[0], dtypes.Float64))
		nodes := []*graph.Node{p.rollout(firstBlock), representation, w.Get("head.weight")}
		for block, a := range p.attentions {
			first, second := p.marks.Residuals[sums[2*block]], p.marks.Residuals[sums[2*block+1]]
			projection := p.marks.Linears[p.marks.Elementwise[first.Branch]]
			qkv := p.marks.Linears[p.marks.Elementwise[a.QKV]]
			fc2 := p.marks.Linears[p.marks.Elementwise[second.Branch]]
			fc1 := p.marks.Linears[p.marks.Elementwise[p.marks.Elementwise[fc2.Input]]]
			nodes = append(nodes, first.Stream, first.Branch, second.Stream, second.Branch,
				qkv.Input, qkv.Weight, a.QKV, a.Weights, projection.Input, projection.Weight,
				fc1.Input, fc1.Weight, fc2.Input, fc2.Weight, p.derivatives[block], p.relevance[block], p.at(sums[2*block+1]))
		}
		return nodes
	}, noise(model, 1), classTensor(class))
	next := func(columns int) matrix {
		m := rowsOf(flat[0], columns)
		flat = flat[1:]
		return m
	}
	values, representation, head := next(16), next(width), next(width)
	chosen := zeros(1, classes)
	chosen[0][class] = 1
	relevance := zeros(tokens, width) // of a block's output
	for i, r := range linearRule(chosen, representation, head)[0] {
		relevance[0][i] = representation[0][i] * divide(r, representation[0][i])
	}

	type layers struct {
		stream, attn, middle, mlp                                  matrix
		qkvIn, qkvWeight, qkv, attention, projectionIn, projection matrix
		fc1In, fc1, fc2In, fc2, derivative, ofAttention, ofOutput  matrix
	}
	var all []layers
	for range blocks {
		all = append(all, layers{
			next(width), next(width), next(width), next(width),
			next(width), next(width), next(3 * width), next(tokens), next(width), next(width),
			next(width), next(width), next(4 * width), next(4 * width), next(tokens), next(tokens), next(width),
		})
	}
	row := make([]float64, tokens)
	row[0] = 1
	for block := blocks - 1; block >= firstBlock; block-- {
		l := all[block]
		golden.Close(t, "relevance of a block's output", l.ofOutput.float32s(), relevance.float32s(), 1e-6)
		if sum := l.ofOutput.sum(); math.Abs(sum-1) > 1e-7 { // what the epsilon of the divisions loses
			t.Errorf("the relevance of block %d's output sums to %v, want 1", block, sum)
		}
		ofMiddle, ofMLP := residualRule(relevance, l.middle, l.mlp)
		ofMiddle = cloneRule(l.middle, ofMiddle, linearRule(linearRule(ofMLP, l.fc2In, l.fc2), l.fc1In, l.fc1))
		ofStream, ofAttn := residualRule(ofMiddle, l.stream, l.attn)
		ofQKV, ofAttention := attentionRule(linearRule(ofAttn, l.projectionIn, l.projection), l.attention, l.qkv, heads)
		golden.Close(t, "relevance of attention weights", l.ofAttention.float32s(), ofAttention.float32s(), 1e-6)
		relevance = cloneRule(l.stream, ofStream, linearRule(ofQKV, l.qkvIn, l.qkvWeight))

		before := append([]float64(nil), row...)
		for h := range heads {
			for q := range tokens {
				for k := range tokens {
					cam := l.derivative[h*tokens+q][k] * ofAttention[h*tokens+q][k]
					row[k] += before[q] * max(0, cam) / heads
				}
			}
		}
	}
	golden.Close(t, "map", values.float32s(), float32s(row[1:]), 1e-6)
}
