/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IMS_TREE_H
#define _IMS_TREE_H

#include <linux/rbtree.h>

/**
 * ims_tree_insert() - put a node into a tree
 * @node: the node
 * @root: the tree
 * @key: of @node
 * @cmp: is @key behind that of another node: more than 0
 *
 * As rb_add(), but that the key is made once, and not at each node on the way: a million phones are
 * twenty of them.
 *
 * Context: as the tree's.
 */
static __always_inline void ims_tree_insert(struct rb_node *node, struct rb_root *root,
					    const void *key,
					    int (*cmp)(const void *key, const struct rb_node *node))
{
	struct rb_node **link = &root->rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = cmp(key, parent) > 0 ? &parent->rb_right : &parent->rb_left;
	}
	rb_link_node(node, parent, link);
	rb_insert_color(node, root);
}

#endif /* _IMS_TREE_H */
