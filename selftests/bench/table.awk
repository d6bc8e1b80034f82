# SPDX-License-Identifier: GPL-2.0-only
#
# One half of the benchmark as comma-separated values. Read are the rows, "NAME
# UNIT TARGET" (see run), then what was measured, "KERNEL ROW COLUMN VALUE"; of
# what was measured several times, the median counts.
# Exits with 1 if a row of ours, or what its target refers to, is not there.
BEGIN {
	n_kernels = split(kernels, kernel, " ")
	n_columns = split(columns, column, " ")
}

FNR == NR {
	row[++n_rows] = $1
	unit[$1] = $2
	target[$1] = $3
	next
}

{
	# In ascending order
	for (i = ++n[$1, $2, $3]; i > 1 && all[$1, $2, $3, i - 1] > $4 + 0; i--)
		all[$1, $2, $3, i] = all[$1, $2, $3, i - 1]
	all[$1, $2, $3, i] = $4 + 0
	value[$1, $2, $3] = n[$1, $2, $3] == 1 ? $4 : all[$1, $2, $3, int((n[$1, $2, $3] + 1) / 2)]
}

# Of "0.75", or of "0.75|6.1=0.78" where a kernel has its own
function factor_of(k, text,	n_parts, parts, i) {
	n_parts = split(text, parts, "|")
	for (i = n_parts; i > 1; i--)
		if (index(parts[i], k "=") == 1)
			return substr(parts[i], length(k) + 2) + 0
	return parts[1] + 0
}

function target_of(k, r,	n_terms, terms, term, i, v, f, least) {
	n_terms = split(target[r], terms, ",")
	for (i = 1; i <= n_terms; i++) {
		if (split(terms[i], term, /[*+:]/) == 3) {
			if (!((k, term[3], term[2]) in value))
				exit missing = 1
			v = value[k, term[3], term[2]]
			f = factor_of(k, term[1])
			v = terms[i] ~ /\+/ ? v + f : v * f
		} else {
			v = terms[i] + 0
		}
		if (i == 1 || v < least)
			least = v
	}
	return least
}

END {
	if (missing)
		exit 1
	printf "row,kernel,unit"
	for (c = 1; c <= n_columns; c++)
		printf ",%s", column[c]
	print ",target,reached"
	for (i = 1; i <= n_rows; i++)
		for (k = 1; k <= n_kernels; k++) {
			if (!((kernel[k], row[i], "ours") in value))
				exit 1
			printf "%s,%s,%s", row[i], kernel[k], unit[row[i]]
			for (c = 1; c <= n_columns; c++)
				printf ",%s", (kernel[k], row[i], column[c]) in value ? \
					value[kernel[k], row[i], column[c]] : "-"
			if (target[row[i]] == "-") {
				print ",-,-"
				continue
			}
			most = target_of(kernel[k], row[i])
			printf unit[row[i]] ~ /^(kinsn|times)$/ ? ",%.1f" : ",%.0f", most
			our = value[kernel[k], row[i], "ours"]
			print (unit[row[i]] ~ /\/s$|^times$/ ? our >= most : our <= most) ? ",yes" : ",no"
		}
}
