"""The pages: what an installation shows to people, drawn on the server, live in the browser.

`http` says what a page's handler takes and gives, `site` finds the handler and sends what it gives,
`live` tells browsers that something changed. Every other module is a page or two: it gathers values
and names a template. Nothing here draws with matplotlib, and nothing reaches another machine.
"""
