package tokenizer

import "container/heap"

// encodeWord merges the bytes of a word.
func (t *Tokenizer) encodeWord(word string) []int32 {
	n := len(word)
	ids := make([]int32, n)
	for i := range n {
		ids[i] = t.bytes[word[i]]
	}
	ids[n-1] = t.lastBytes[word[n-1]]
	return mergePairs(ids, t.merges)
}

// mergePairs merges neighbouring symbols, pairs of lowest rank first and from left to right, until no pair is left that has a
// rank. Since a symbol is older than the merges that use it, one queue of all pairs visits them in that order, in O(n log n) for
// n symbols.
func mergePairs(whole []int32, merges map[pair]merged) []int32 {
	n := len(whole)
	symbols := make([]symbol, n)
	for i, id := range whole {
		symbols[i] = symbol{id: id, previous: i - 1, next: i + 1}
	}
	var queue mergeQueue
	push := func(left int) {
		if left < 0 || symbols[left].next >= n {
			return
		}
		p := pair{symbols[left].id, symbols[symbols[left].next].id}
		if m, ok := merges[p]; ok {
			heap.Push(&queue, candidate{m, p, left})
		}
	}
	for i := range n - 1 {
		push(i)
	}
	for queue.Len() > 0 {
		c := heap.Pop(&queue).(candidate)
		left := &symbols[c.left]
		if left.id != c.pair[0] || left.next >= n || symbols[left.next].id != c.pair[1] {
			continue // one of the two has been merged with another since
		}
		right := &symbols[left.next]
		left.id, left.next, right.id = c.id, right.next, gone
		if left.next < n {
			symbols[left.next].previous = c.left
		}
		push(left.previous)
		push(c.left)
	}

	var ids []int32
	for i := 0; i < n; i = symbols[i].next {
		ids = append(ids, symbols[i].id)
	}
	return ids
}

// gone is the id of a symbol that is part of another now.
const gone = -1

// symbol is a part of a word in a list linked by indices.
type symbol struct {
	id             int32
	previous, next int
}

// candidate is a merge of two neighbouring symbols, the first of them at left.
type candidate struct {
	merged
	pair pair
	left int
}

// mergeQueue is a heap of candidates by rank, then from left to right.
type mergeQueue []candidate

func (q mergeQueue) Len() int { return len(q) }
func (q mergeQueue) Less(i, j int) bool {
	if q[i].rank != q[j].rank {
		return q[i].rank < q[j].rank
	}
	return q[i].left < q[j].left
}
func (q mergeQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *mergeQueue) Push(c any)   { *q = append(*q, c.(candidate)) }
func (q *mergeQueue) Pop() any {
	last := len(*q) - 1
	c := (*q)[last]
	*q = (*q)[:last]
	return c
}
