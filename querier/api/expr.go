package api

import (
	"github.com/prometheus/prometheus/promql/parser"
)

func (a *API) formatQuery(r request) (answer, error) {
	expr, err := a.parse(r)
	if err != nil {
		return answer{}, err
	}
	return answer{data: expr.Pretty(0)}, nil
}

func (a *API) parseQuery(r request) (answer, error) {
	expr, err := a.parse(r)
	if err != nil {
		return answer{}, err
	}
	return answer{data: tree(expr)}, nil
}

func (a *API) parse(r request) (parser.Expr, error) {
	expr, err := a.opts.Engine.ParseExpr(r.Context(), r.value("query"))
	if err != nil {
		return nil, badParam("query", err)
	}
	return expr, nil
}
