// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IV generators of a bundle's SAs: the kernel's, echainiv and seqiv, but that the SAs of one
 * bundle have one cipher. They have one key (TS 33.203), and what a cipher makes of a key is most
 * of what an SA takes to make and to keep.
 *
 * A cipher may be shared, for SAs change nothing in it:
 *  - its key is set once, before another SA gets it; who sets another one, even later, gets a
 *    cipher of its own then. So is the length of its ICV, and a later change is refused.
 *  - what is under way is in the request, which is an SA's own, as are salt and sequence number.
 *    XFRM itself has several CPUs encrypt and decrypt by one cipher at once.
 *  - a driver that completes later does so by the request, too; XFRM holds the SA until then, and
 *    the SA its share of the cipher.
 *
 * This is a module of its own, for an SA's cipher holds the module that its IV generator is of,
 * and XFRM frees an SA when the last packet and the last cached route of it have gone, which may
 * be long after ims_ipsec has deleted it. So this module stays as long as SAs do, and ims_ipsec
 * goes whenever it is told to.
 *
 * Whoever names these generators elsewhere, by AF_ALG, say, has ordinary ones.
 */
#include <crypto/algapi.h>
#include <crypto/internal/geniv.h>
#include <crypto/scatterwalk.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "compat.h"
#include "iv.h"

/* What the names of these generators have before the kernel's name of one that does the same */
#define IMS_IV_PREFIX		"ims_"
/* SAs of a bundle: as many as a salt has bits that tell them apart */
#define IMS_IV_SALTS		4
#define IMS_IV_SALT_MAX		16
/* Of authenc(): 8 bytes of header, hmac(sha1), cbc(des3_ede) */
#define IMS_IV_KEY_MAX		64

/**
 * struct ims_iv_cipher - what encrypts and decrypts, of one SA or several
 * @users: how many have it, SAs and a group
 * @aead: the cipher
 */
struct ims_iv_cipher {
	refcount_t users;
	struct crypto_aead *aead;
};

/* An SA's */
struct ims_iv_ctx {
	struct ims_iv_cipher *cipher;
	u8 salt[];
};

/**
 * struct ims_iv_group - a bundle that is being made, by the task that makes it
 * @node: in ims_iv_groups
 * @task: the task; nobody else looks at what follows
 * @inst: what @cipher is of
 * @cipher: of the first SA, NULL before
 * @key: its key
 * @key_len: bytes of that
 * @n: how many SAs there are
 * @salt: theirs, but for what tells them apart, see ims_iv_make_salt()
 */
struct ims_iv_group {
	struct list_head node;
	const struct task_struct *task;
	const struct aead_instance *inst;
	struct ims_iv_cipher *cipher;
	u8 key[IMS_IV_KEY_MAX];
	unsigned int key_len;
	unsigned int n;
	u64 salt[IMS_IV_SALT_MAX / sizeof(u64)];
};

static bool own = true;
module_param(own, bool, 0444);
MODULE_PARM_DESC(own, "N: SAs have the kernel's IV generators, and a cipher each");

/* How many bundles are being made just now: as many as there are CPUs for, as a rule */
static LIST_HEAD(ims_iv_groups);
static DEFINE_SPINLOCK(ims_iv_lock);

/* The bundle that this task is making, or NULL. XFRM does all in the task that asks. */
static struct ims_iv_group *ims_iv_find_group(void)
{
	struct ims_iv_group *group, *found = NULL;

	spin_lock(&ims_iv_lock);
	list_for_each_entry(group, &ims_iv_groups, node) {
		if (group->task != current)
			continue;
		found = group;
		break;
	}
	spin_unlock(&ims_iv_lock);
	return found;
}

static void ims_iv_put_cipher(struct ims_iv_cipher *cipher)
{
	if (!cipher || !refcount_dec_and_test(&cipher->users))
		return;
	crypto_free_aead(cipher->aead);
	kfree(cipher);
}

static struct ims_iv_cipher *ims_iv_get_cipher(struct ims_iv_cipher *cipher)
{
	refcount_inc(&cipher->users);
	return cipher;
}

static bool ims_iv_is_shared(const struct ims_iv_cipher *cipher)
{
	return refcount_read(&cipher->users) > 1;
}

/* With another SA? A group has it for those that are to come. */
static bool ims_iv_is_others(const struct ims_iv_cipher *cipher, const struct ims_iv_group *group)
{
	return refcount_read(&cipher->users) > 1 + (group && group->cipher == cipher);
}

/* Give an SA, or whoever it is, a cipher of its own, without a key. */
static int ims_iv_renew_cipher(struct crypto_aead *aead)
{
	struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	struct ims_iv_cipher *cipher;
	int err;

	cipher = kmalloc(sizeof(*cipher), GFP_KERNEL);
	if (!cipher)
		return -ENOMEM;
	cipher->aead = crypto_spawn_aead(aead_instance_ctx(aead_alg_instance(aead)));
	if (IS_ERR(cipher->aead)) {
		err = PTR_ERR(cipher->aead);
		kfree(cipher);
		return err;
	}
	refcount_set(&cipher->users, 1);
	if (crypto_aead_authsize(aead) != crypto_aead_authsize(cipher->aead)) {
		err = crypto_aead_setauthsize(cipher->aead, crypto_aead_authsize(aead));
		if (err) {
			ims_iv_put_cipher(cipher);
			return err;
		}
	}
	ims_iv_put_cipher(ctx->cipher);
	ctx->cipher = cipher;
	return 0;
}

/* Does an SA have the cipher of its bundle, and is this the key of that? */
static bool ims_iv_is_of_group(struct crypto_aead *aead, const struct ims_iv_group *group,
			       const u8 *key, unsigned int key_len)
{
	const struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);

	return ctx->cipher == group->cipher && key_len == group->key_len &&
	       crypto_aead_authsize(aead) == crypto_aead_authsize(ctx->cipher->aead) &&
	       !crypto_memneq(key, group->key, key_len);
}

/* The first SA of a bundle has its key: so have the next ones, perhaps. */
static void ims_iv_offer(struct ims_iv_group *group, struct crypto_aead *aead, const u8 *key,
			 unsigned int key_len)
{
	struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);

	if (group->cipher || key_len > sizeof(group->key))
		return;
	group->inst = aead_alg_instance(aead);
	group->cipher = ims_iv_get_cipher(ctx->cipher);
	memcpy(group->key, key, key_len);
	group->key_len = key_len;
}

static int ims_iv_setkey(struct crypto_aead *aead, const u8 *key, unsigned int key_len)
{
	struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	struct ims_iv_group *group = ims_iv_find_group();
	int err = 0;

	if (group && ims_iv_is_of_group(aead, group, key, key_len))
		return 0;
	if (ims_iv_is_shared(ctx->cipher))
		err = ims_iv_renew_cipher(aead);
	if (!err)
		err = crypto_aead_setkey(ctx->cipher->aead, key, key_len);
	if (!err && group)
		ims_iv_offer(group, aead, key, key_len);
	return err;
}

static int ims_iv_setauthsize(struct crypto_aead *aead, unsigned int authsize)
{
	struct ims_iv_group *group = ims_iv_find_group();
	struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	int err = 0;

	if (authsize == crypto_aead_authsize(ctx->cipher->aead))
		return 0;
	if (ims_iv_is_others(ctx->cipher, group)) {
		/* the key is in the cipher that others have, and nowhere else */
		if (!(crypto_aead_get_flags(aead) & CRYPTO_TFM_NEED_KEY))
			return -EBUSY;
		err = ims_iv_renew_cipher(aead);
	}
	return err ?: crypto_aead_setauthsize(ctx->cipher->aead, authsize);
}

/*
 * The SAs of a bundle have one salt, but for two bits at either end of its first eight bytes. So no
 * two of four SAs have an IV in common: those of seqiv differ in their first bits, to which no
 * number comes; and in those of echainiv with 16 bytes the second halves are the same for the same
 * number only, for which the first halves differ, being the number times what differs in a bit
 * that is among the lowest, whichever end these are at.
 */
static void ims_iv_make_salt(u8 *salt, struct ims_iv_group *group, unsigned int iv_size)
{
	memcpy(salt, group->salt, iv_size);
	salt[0] ^= group->n << 6;
	salt[7] ^= group->n << 1;
	group->n++;
}

static int ims_iv_init(struct crypto_aead *aead)
{
	const unsigned int iv_size = crypto_aead_ivsize(aead);
	struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	struct ims_iv_group *group = ims_iv_find_group();
	int err;

	/* for now: the key is still to come */
	if (group && group->cipher && group->inst == aead_alg_instance(aead)) {
		ctx->cipher = ims_iv_get_cipher(group->cipher);
		aead->authsize = crypto_aead_authsize(ctx->cipher->aead);
	} else {
		err = ims_iv_renew_cipher(aead);
		if (err)
			return err;
	}
	if (group && group->n < IMS_IV_SALTS)
		ims_iv_make_salt(ctx->salt, group, iv_size);
	else
		get_random_bytes(ctx->salt, iv_size);
	crypto_aead_set_reqsize(aead, sizeof(struct aead_request) +
				      crypto_aead_reqsize(ctx->cipher->aead));
	return 0;
}

static void ims_iv_exit(struct crypto_aead *aead)
{
	struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);

	ims_iv_put_cipher(ctx->cipher);
	/* XFRM frees what has ended meanwhile, which may be all there was, without a pause. */
	cond_resched();
}

/* The request that the cipher gets, in which the IV is to be encrypted where it is to be found. */
static struct aead_request *ims_iv_encrypt(struct aead_request *req, const struct ims_iv_ctx *ctx)
{
	struct aead_request *sub = aead_request_ctx(req);

	if (req->src != req->dst)
		ims_compat_copy_sglist(req->dst, req->src, req->assoclen + req->cryptlen);
	aead_request_set_tfm(sub, ctx->cipher->aead);
	aead_request_set_callback(sub, aead_request_flags(req), req->base.complete,
				  req->base.data);
	return sub;
}

/*
 * Write what stands in the IV's place of what is sent. The place is in the first piece as a rule,
 * where a packet's header is, and to walk over the pieces takes 200 instructions.
 */
static void ims_iv_write(struct aead_request *req, unsigned int size)
{
	struct scatterlist *sg = req->dst;
	const size_t offset = sg->offset + req->assoclen;

	if (req->assoclen + size <= sg->length && offset + size <= PAGE_SIZE &&
	    !PageHighMem(sg_page(sg))) {
		memcpy(sg_virt(sg) + req->assoclen, req->iv, size);
		flush_dcache_page(sg_page(sg));
		return;
	}
	scatterwalk_map_and_copy(req->iv, sg, req->assoclen, size, 1);
}

/* The number, times a salt that is odd, encrypted as the first block: as echainiv has it */
static int ims_iv_encrypt_chain(struct aead_request *req)
{
	struct crypto_aead *aead = crypto_aead_reqtfm(req);
	const unsigned int iv_size = crypto_aead_ivsize(aead);
	const struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	struct aead_request *sub;
	unsigned int i;
	__be64 number;
	u64 salt;

	if (req->cryptlen < iv_size)
		return -EINVAL;
	sub = ims_iv_encrypt(req, ctx);
	memcpy(&number, req->iv + iv_size - sizeof(number), sizeof(number));
	memset(req->iv, 0, iv_size);
	ims_iv_write(req, iv_size);
	for (i = 0; i < iv_size; i += sizeof(salt)) {
		memcpy(&salt, ctx->salt + i, sizeof(salt));
		salt = (salt | 1) * be64_to_cpu(number);
		memcpy(req->iv + i, &salt, sizeof(salt));
	}
	aead_request_set_crypt(sub, req->dst, req->dst, req->cryptlen, req->iv);
	aead_request_set_ad(sub, req->assoclen);
	return crypto_aead_encrypt(sub);
}

/* The number, xor a salt, as it is: as seqiv has it */
static int ims_iv_encrypt_seq(struct aead_request *req)
{
	struct crypto_aead *aead = crypto_aead_reqtfm(req);
	const unsigned int iv_size = crypto_aead_ivsize(aead);
	const struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	struct aead_request *sub;

	if (req->cryptlen < iv_size)
		return -EINVAL;
	sub = ims_iv_encrypt(req, ctx);
	crypto_xor(req->iv, ctx->salt, iv_size);
	ims_iv_write(req, iv_size);
	aead_request_set_crypt(sub, req->dst, req->dst, req->cryptlen - iv_size, req->iv);
	aead_request_set_ad(sub, req->assoclen + iv_size);
	return crypto_aead_encrypt(sub);
}

static int ims_iv_decrypt(struct aead_request *req)
{
	struct crypto_aead *aead = crypto_aead_reqtfm(req);
	const unsigned int iv_size = crypto_aead_ivsize(aead);
	const struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	struct aead_request *sub = aead_request_ctx(req);

	if (req->cryptlen < iv_size + crypto_aead_authsize(aead))
		return -EINVAL;
	aead_request_set_tfm(sub, ctx->cipher->aead);
	aead_request_set_callback(sub, aead_request_flags(req), req->base.complete,
				  req->base.data);
	aead_request_set_crypt(sub, req->src, req->dst, req->cryptlen - iv_size, req->iv);
	aead_request_set_ad(sub, req->assoclen + iv_size);
	scatterwalk_map_and_copy(req->iv, req->src, req->assoclen, iv_size, 0);
	return crypto_aead_decrypt(sub);
}

static int ims_iv_create(struct crypto_template *tmpl, struct rtattr **tb,
			 int (*encrypt)(struct aead_request *req))
{
	struct aead_instance *inst = aead_geniv_alloc(tmpl, tb);
	struct aead_alg *alg;
	int err = -EINVAL;

	if (IS_ERR(inst))
		return PTR_ERR(inst);
	alg = &inst->alg;
	if (alg->ivsize > IMS_IV_SALT_MAX || alg->ivsize % sizeof(u64))
		goto free;
	/* the crypto layer's search for an SA's cipher ends here, and not at the list's end */
	strscpy(alg->base.cra_driver_name, alg->base.cra_name,
		sizeof(alg->base.cra_driver_name));
	alg->base.cra_ctxsize = sizeof(struct ims_iv_ctx) + alg->ivsize;
	alg->init = ims_iv_init;
	alg->exit = ims_iv_exit;
	alg->setkey = ims_iv_setkey;
	alg->setauthsize = ims_iv_setauthsize;
	alg->encrypt = encrypt;
	alg->decrypt = ims_iv_decrypt;
	err = aead_register_instance(tmpl, inst);
	if (!err)
		return 0;
free:
	inst->free(inst);
	return err;
}

static int ims_iv_create_chain(struct crypto_template *tmpl, struct rtattr **tb)
{
	return ims_iv_create(tmpl, tb, ims_iv_encrypt_chain);
}

static int ims_iv_create_seq(struct crypto_template *tmpl, struct rtattr **tb)
{
	return ims_iv_create(tmpl, tb, ims_iv_encrypt_seq);
}

static struct crypto_template ims_iv_templates[] = {
	{
		.name = IMS_IV_PREFIX "echainiv",
		.create = ims_iv_create_chain,
		.module = THIS_MODULE,
	},
	{
		.name = IMS_IV_PREFIX "seqiv",
		.create = ims_iv_create_seq,
		.module = THIS_MODULE,
	},
};

/**
 * ims_iv_name() - the IV generator to be used instead of the kernel's
 * @geniv: name of the kernel's, may be NULL
 *
 * Context: any.
 * Return: name of one that makes the same IVs, which stays as long as an SA that was made with it;
 * NULL: there is none, or it is not to be used.
 */
const char *ims_iv_name(const char *geniv)
{
	int i;

	for (i = 0; geniv && own && i < ARRAY_SIZE(ims_iv_templates); i++)
		if (!strcmp(ims_iv_templates[i].name + strlen(IMS_IV_PREFIX), geniv))
			return ims_iv_templates[i].name;
	return NULL;
}
EXPORT_SYMBOL_GPL(ims_iv_name);

/**
 * ims_iv_begin() - this task begins to make the SAs of a bundle
 *
 * Until ims_iv_end(), those that it makes with one algorithm and one key share a cipher.
 *
 * Context: process, sleeps.
 * Return: to be given to ims_iv_end(); NULL if there is no memory: each SA has its own cipher then.
 */
struct ims_iv_group *ims_iv_begin(void)
{
	struct ims_iv_group *group = kmalloc(sizeof(*group), GFP_KERNEL);
	int i;

	if (!group)
		return NULL;
	group->task = current;
	group->inst = NULL;
	group->cipher = NULL;
	group->key_len = 0;
	group->n = 0;
	/* as random as get_random_bytes(), and drawn for several bundles at once */
	for (i = 0; i < ARRAY_SIZE(group->salt); i++)
		group->salt[i] = get_random_u64();
	spin_lock(&ims_iv_lock);
	list_add(&group->node, &ims_iv_groups);
	spin_unlock(&ims_iv_lock);
	return group;
}
EXPORT_SYMBOL_GPL(ims_iv_begin);

/**
 * ims_iv_end() - the SAs of a bundle have been made, or will not be
 * @group: from ims_iv_begin(), of the same task; may be NULL
 *
 * The key is wiped.
 *
 * Context: process, sleeps.
 */
void ims_iv_end(struct ims_iv_group *group)
{
	if (!group)
		return;
	spin_lock(&ims_iv_lock);
	list_del(&group->node);
	spin_unlock(&ims_iv_lock);
	ims_iv_put_cipher(group->cipher);
	kfree_sensitive(group);
}
EXPORT_SYMBOL_GPL(ims_iv_end);

/**
 * ims_iv_show_driver() - what serves an SA whose IV generator is one of these
 * @aead: the SA's cipher, of any generator
 * @buf: gets the generator's name, and in brackets the driver of what it generates IVs for
 * @size: bytes there
 *
 * Context: any.
 * Return: true, or false if the generator is not one of these: @buf is as it was.
 */
bool ims_iv_show_driver(struct crypto_aead *aead, char *buf, size_t size)
{
	const struct ims_iv_ctx *ctx = crypto_aead_ctx(aead);
	const struct aead_instance *inst;

	if (crypto_aead_alg(aead)->init != ims_iv_init)
		return false;
	inst = aead_alg_instance(aead);
	snprintf(buf, size, "%s(%s)", inst->s.base.tmpl->name,
		 crypto_tfm_alg_driver_name(crypto_aead_tfm(ctx->cipher->aead)));
	return true;
}
EXPORT_SYMBOL_GPL(ims_iv_show_driver);

static int __init ims_iv_load(void)
{
	return crypto_register_templates(ims_iv_templates, ARRAY_SIZE(ims_iv_templates));
}

static void __exit ims_iv_unload(void)
{
	crypto_unregister_templates(ims_iv_templates, ARRAY_SIZE(ims_iv_templates));
}

module_init(ims_iv_load);
module_exit(ims_iv_unload);

MODULE_DESCRIPTION("IV generators of ims_ipsec: the SAs of a bundle share a cipher");
MODULE_AUTHOR("The ims_ipsec authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(IMS_IPSEC_VERSION);
