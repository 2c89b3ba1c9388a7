"""Names that are markup in LaTeX, Markdown, HTML, CSV or SVG unless they are escaped."""

NAMES = (
    *(
        r"\input{/etc/passwd}",
        r"\write18{id}",
        "^^5cinput x",
        "$x$",
        "100%",
        "a&b",
        "#1",
        "a_b{",
        "} ~ x",
        "\\\\",
    ),
    *("[2cm]x", "*", r"\end{tabular}", "*b* **b** _i_", "`c`", "~~s~~", "[a](http://evil.example)", "```"),
    *("![a](http://evil.example/x.png)", "<http://evil.example>", "www.evil.example", "a | b", "# h", "1. x"),
    *("- x", "> q", "[a]: http://evil.example", "&lt;b&gt;", "---", "<!-- x", r"\*x\*", "{{7*7}}{% x %}"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>'),
    *(
        "'onmouseover='alert(1)",
        "</style></title><script>alert(1)</script>",
        "]]>",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
    ),
    *("=cmd|' /C calc'!A0", "＝1", "url(#a)", "#1b2430", 'id="a"', "}*{display:none}"),
)
