"""What do our models mean for capital, provisions and cash? Pure arrays in, figures out; research, not legal advice.

The way of a figure: `portfolio` (columns, checked) and `rules` (dated rules as data) give the `parameters` that each
exposure enters with (floors, supervisory values). `irb` and `standardised` weigh it, `output_floor` and
`expected_loss` set the two against each other and against provisions. `scenario` reads macro paths and says how they
move PD and LGD; `staging` and `ecl` make IFRS 9 figures of that, `stress` plays the paths through the capital
figures. `concentration` and `repayments` look at the portfolio as a whole. `plan` puts one run together, `results` is
its document, `drawing` and `committee` are what people read.
"""
