package consensus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Server is a node as Raft has it.
type Server struct {
	ID    placement.NodeID
	Addr  string
	Voter bool // others follow
}

func (s Server) String() string {
	kind := "nonvoter"
	if s.Voter {
		kind = "voter"
	}
	return fmt.Sprintf("%s at %s, %s", s.ID, s.Addr, kind)
}

func byID(a, b Server) int { return a.ID.Compare(b.ID) }

func find(servers []Server, id placement.NodeID) (Server, bool) {
	i := slices.IndexFunc(servers, func(s Server) bool { return s.ID == id })
	if i < 0 {
		return Server{}, false
	}
	return servers[i], true
}

// validServers are each there once, at an address, and at least one votes.
func validServers(servers []Server) error {
	seen := map[placement.NodeID]bool{}
	voters := 0
	for _, s := range servers {
		switch {
		case s.ID == placement.NodeID{}:
			return fmt.Errorf("server at %s has no ID", s.Addr)
		case s.Addr == "" || len(s.Addr) > maxText/2:
			return fmt.Errorf("server %s has the address %.80q", s.ID, s.Addr)
		case seen[s.ID]:
			return fmt.Errorf("server %s is there twice", s.ID)
		}
		seen[s.ID] = true
		if s.Voter {
			voters++
		}
	}
	if voters == 0 || len(servers) > maxServers {
		return fmt.Errorf("%d voters of %d servers", voters, len(servers))
	}
	return nil
}

func serverID(id placement.NodeID) raft.ServerID { return raft.ServerID(id.String()) }

// address is what Raft's configuration has for one. Raft allows an address once; but where a node
// was, another may be before the first is removed.
func address(s Server) raft.ServerAddress { return raft.ServerAddress(s.ID.String() + "@" + s.Addr) }

func fromRaft(s raft.Server) (Server, error) {
	id, err := placement.ParseNodeID(string(s.ID))
	if err != nil {
		return Server{}, err
	}
	_, addr, _ := strings.Cut(string(s.Address), "@")
	return Server{ID: id, Addr: addr, Voter: s.Suffrage == raft.Voter}, nil
}

func toRaft(servers []Server) raft.Configuration {
	var c raft.Configuration
	for _, s := range servers {
		suffrage := raft.Nonvoter
		if s.Voter {
			suffrage = raft.Voter
		}
		c.Servers = append(c.Servers, raft.Server{Suffrage: suffrage, ID: serverID(s.ID), Address: address(s)})
	}
	return c
}
