package leaf

// Failure is what a node said in place of an answer.
type Failure struct {
	// Kind is that of package querier.
	Kind uint8
	// Elsewhere says that another replica may well answer: the question is not at fault.
	Elsewhere bool
	Text      string
}

// Error is what the node said.
func (f *Failure) Error() string { return f.Text }
