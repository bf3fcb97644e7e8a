package graph

import "slices"

// follow returns the next node that j waits for, starting the search at pos,
// and where to go on; -1 when there is none left.
type follow func(j, pos int32) (k, next int32)

// tarjan finds strongly connected components without recursion. Nodes are
// small numbers; follow may come up with new ones on the way.
type tarjan struct {
	nodes []tarjanNode
	work  []int32
	open  []int32
	// labels is the last label given.
	labels int32
	via    []int32
}

type tarjanNode struct {
	// index and low are Tarjan's numbers; index 0 is "not visited".
	index, low int32
	// pos is where follow goes on.
	pos int32
	// label is the component that the node was last found in, 0 at first.
	label   int32
	onStack bool
}

func (t *tarjan) reset(n int) {
	t.nodes = slices.Grow(t.nodes[:0], n)[:n]
	clear(t.nodes)
	t.labels = 0
}

// components looks among the given nodes, following only those that carry the
// label, and returns the components of more than one node, each under a label
// of its own, their nodes sorted.
func (t *tarjan) components(among []int32, label int32, next follow) [][]int32 {
	for _, j := range among {
		n := &t.nodes[j]
		n.index, n.low, n.pos, n.onStack = 0, 0, 0, false
	}
	var found [][]int32
	counter := int32(0)
	for _, root := range among {
		if t.nodes[root].index != 0 {
			continue
		}
		t.work = append(t.work[:0], root)
		for len(t.work) > 0 {
			j := t.work[len(t.work)-1]
			if n := &t.nodes[j]; n.index == 0 {
				counter++
				n.index, n.low, n.onStack = counter, counter, true
				t.open = append(t.open, j)
			}
			k, pos := next(j, t.nodes[j].pos)
			t.nodes[j].pos = pos
			if k >= 0 {
				for int(k) >= len(t.nodes) {
					t.nodes = append(t.nodes, tarjanNode{})
				}
				switch kn := &t.nodes[k]; {
				case kn.label != label:
				case kn.index == 0:
					t.work = append(t.work, k)
				case kn.onStack:
					t.nodes[j].low = min(t.nodes[j].low, kn.index)
				}
				continue
			}
			t.work = t.work[:len(t.work)-1]
			if len(t.work) > 0 {
				up := &t.nodes[t.work[len(t.work)-1]]
				up.low = min(up.low, t.nodes[j].low)
			}
			if t.nodes[j].low == t.nodes[j].index {
				if c := t.close(j); c != nil {
					found = append(found, c)
				}
			}
		}
	}
	return found
}

// close takes the component that j is the root of from the stack.
func (t *tarjan) close(j int32) []int32 {
	at := len(t.open) - 1
	for t.open[at] != j {
		at--
	}
	t.labels++
	for _, m := range t.open[at:] {
		t.nodes[m].onStack, t.nodes[m].label = false, t.labels
	}
	var c []int32
	if len(t.open)-at > 1 {
		c = slices.Clone(t.open[at:])
		slices.Sort(c)
	}
	t.open = t.open[:at]
	return c
}

// shortest finds the shortest cycle through a node within its component, nil if
// there is none (any more). It adds the number of steps it took to cost.
func (t *tarjan) shortest(start int32, next follow, cost *int) []int32 {
	if n := len(t.nodes); len(t.via) < n {
		t.via = slices.Grow(t.via, n-len(t.via))[:n]
		for i := range t.via {
			t.via[i] = -1
		}
	}
	label := t.nodes[start].label
	queue := []int32{start}
	defer func() {
		for _, j := range queue {
			t.via[j] = -1
		}
	}()
	for head := 0; head < len(queue); head++ {
		j := queue[head]
		for k, pos := next(j, 0); k >= 0; k, pos = next(j, pos) {
			*cost++
			if k == start {
				var path []int32
				for m := j; m != start; m = t.via[m] {
					path = append(path, m)
				}
				path = append(path, start)
				slices.Reverse(path)
				return path
			}
			if int(k) < len(t.nodes) && t.nodes[k].label == label && t.via[k] < 0 {
				t.via[k] = j
				queue = append(queue, k)
			}
		}
	}
	return nil
}
