package consensus

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		x := r.found(1)
		defer r.stopAll()
		result, err := x.Propose(context.Background(), "list", []byte("one"))
		require.NoError(t, err)
		require.Equal(t, "1 one", string(result))
		require.Equal(t, []string{"one"}, x.state.all())
		require.ErrorIs(t, x.Bootstrap([]Server{{ID: id(1), Addr: addr(1), Voter: true}}), ErrFounded)
	})
}

func TestThreeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.found(3)
		defer r.stopAll()
		all := commands(1, 30)
		for i, c := range all {
			r.nodes[1+i%3].propose(c)
		}
		r.agree(all, 1, 2, 3)

		leader := r.leader()
		died := time.Now()
		leader.kill()
		var others []int
		for n := range r.nodes {
			if n != leader.n {
				others = append(others, n)
			}
		}
		r.leader(others...)
		require.Less(t, time.Since(died), 3*time.Second)
		all = append(all, "after")
		r.nodes[others[0]].propose("after")
		r.start(leader.n)
		r.agree(all, 1, 2, 3)
	})
}
