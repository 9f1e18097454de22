// Package assign decides which node evaluates which group of rules. It is pure.
//
// A node keeps what it has for as long as it can evaluate, so that groups change hands seldom: with
// each change alerts are sent once more. What nobody has goes to one node while one can carry all,
// which is the leader at first, and is spread by what evaluations cost once it can't. A node that
// carries more than it can gives up what makes the loads even.
package assign
