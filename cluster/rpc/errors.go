package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Code says what kind of error a request ended in.
type Code uint8

// The codes. Their numbers cross the wire.
const (
	OK          Code = iota
	Canceled         // the caller gave up
	Deadline         // time ran out
	Unavailable      // the node can't be reached, or is about to end: another may help, or this one later
	StaleEpoch       // one side's placement is old
	NotFound         // there is no such method, or thing
	Refused          // the node does not want to, and will not soon
	Exhausted        // a limit was reached
	Invalid          // the request is wrong
	Internal         // the handler failed in a way that it did not expect
	numCodes
)

var codeNames = [numCodes]string{
	"ok", "canceled", "deadline", "unavailable", "stale epoch", "not found", "refused", "exhausted", "invalid", "internal",
}

func (c Code) String() string {
	if c < numCodes {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// maxText bounds the text of an error that crosses nodes, in bytes.
const maxText = 1024

// Error is how a request ended. It crosses nodes as it is, but for texts beyond 1 KiB.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Text }

// Is makes an Error of a context that ended equal to the context's own.
func (e *Error) Is(target error) bool {
	return e.Code == Deadline && target == context.DeadlineExceeded || e.Code == Canceled && target == context.Canceled
}

// CodeOf finds the code of any error: OK of nil, Internal of what nobody gave one.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	case errors.Is(err, context.Canceled):
		return Canceled
	}
	return Internal
}

// codeOf is CodeOf for what is an *Error or nothing.
func codeOf(e *Error) Code {
	if e == nil {
		return OK
	}
	return e.Code
}

// asError gives any error but nil a code, and a text short enough to be sent.
func asError(err error) *Error {
	text := err.Error()
	if e, ok := err.(*Error); ok { //nolint:errorlint // What wraps one adds to its text.
		text = e.Text
	}
	code := CodeOf(err)
	if code == OK || code >= numCodes {
		code = Internal // An error with a code that isn't one.
	}
	return &Error{code, shorten(text)}
}

// shorten cuts a text to maxText bytes of whole runes.
func shorten(text string) string {
	if len(text) > maxText {
		end := maxText
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return strings.ToValidUTF8(text, "?")
}

func errorf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// contextError says in our words how a context ended.
func contextError(ctx context.Context) *Error {
	return asError(context.Cause(ctx))
}
