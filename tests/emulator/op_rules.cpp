#include "op_rules.h"

#include <unordered_map>

namespace emulator {

namespace {

struct Row {
  const char* name;
  int opset;
  Chips chips;
  const char*
      arguments; // "x,axis*,bias?": * compile-time constant, ? may be absent, @17 since ios17
  InferTypes infer;
};

// An argument with a default in appendix B is required here: the compiler has no defaults (4.4).
// What stays optional is a tensor that may not be there at all, and what 4.2 shows left out.
const Row rows[] = {
    {"abs", 15, Chips::all, "x", infer::same_as_x},
    {"ceil", 15, Chips::all, "x", infer::same_as_x},
    {"floor", 15, Chips::all, "x", infer::same_as_x},
    {"round", 15, Chips::all, "x", infer::same_as_x},
    {"sign", 15, Chips::all, "x", infer::same_as_x},
    {"square", 15, Chips::all, "x", infer::same_as_x},
    {"sqrt", 15, Chips::all, "x", infer::same_as_x},
    {"exp", 15, Chips::all, "x", infer::same_as_x},
    {"exp2", 15, Chips::all, "x", infer::same_as_x},
    {"erf", 15, Chips::all, "x", infer::same_as_x},
    {"atan", 15, Chips::all, "x", infer::same_as_x},
    {"sin", 15, Chips::m3, "x", infer::same_as_x},
    {"cos", 15, Chips::m3, "x", infer::same_as_x},
    {"relu", 15, Chips::all, "x", infer::same_as_x},
    {"relu6", 15, Chips::all, "x", infer::same_as_x},
    {"sigmoid", 15, Chips::all, "x", infer::same_as_x},
    {"silu", 15, Chips::all, "x", infer::same_as_x},
    {"softplus", 15, Chips::all, "x", infer::same_as_x},
    {"softsign", 15, Chips::all, "x", infer::same_as_x},
    {"tanh", 15, Chips::all, "x", infer::same_as_x},
    {"identity", 15, Chips::all, "x", infer::same_as_x},
    {"logical_not", 15, Chips::all, "x", infer::same_as_x},
    {"log", 15, Chips::all, "x,epsilon*", infer::same_as_x},
    {"rsqrt", 15, Chips::all, "x,epsilon*", infer::same_as_x},
    {"inverse", 15, Chips::all, "x,epsilon*", infer::same_as_x},
    {"gelu", 15, Chips::all, "x,mode*", infer::same_as_x},
    {"elu", 15, Chips::all, "x,alpha*", infer::same_as_x},
    {"leaky_relu", 15, Chips::all, "x,alpha*", infer::same_as_x},
    {"threshold", 15, Chips::all, "x,alpha*", infer::same_as_x},
    {"thresholded_relu", 15, Chips::all, "x,alpha*", infer::same_as_x},
    {"prelu", 15, Chips::all, "x,alpha*", infer::same_as_x},
    {"clip", 15, Chips::all, "x,alpha*,beta*", infer::clip},
    {"clamped_relu", 15, Chips::all, "x,alpha*,beta*", infer::clip},
    {"linear_activation", 15, Chips::all, "x,alpha*,beta*", infer::clip},
    {"scaled_tanh", 15, Chips::all, "x,alpha*,beta*", infer::clip},
    {"sigmoid_hard", 15, Chips::all, "x,alpha*,beta*", infer::clip},
    {"softplus_parametric", 15, Chips::all, "x,alpha*,beta*", infer::same_as_x},
    {"softmax", 15, Chips::all, "x,axis*", infer::softmax},
    {"cumsum", 15, Chips::all, "x,axis*,exclusive*,reverse*", infer::softmax},

    {"add", 15, Chips::all, "x,y", infer::binary},
    {"sub", 15, Chips::all, "x,y", infer::binary},
    {"mul", 15, Chips::all, "x,y", infer::binary},
    {"real_div", 15, Chips::all, "x,y", infer::binary},
    {"floor_div", 15, Chips::all, "x,y", infer::binary},
    {"maximum", 15, Chips::all, "x,y", infer::binary},
    {"minimum", 15, Chips::all, "x,y", infer::binary},
    {"pow", 15, Chips::all, "x,y", infer::binary},
    {"equal", 15, Chips::all, "x,y", infer::comparison},
    {"not_equal", 15, Chips::all, "x,y", infer::comparison},
    {"greater", 15, Chips::all, "x,y", infer::comparison},
    {"greater_equal", 15, Chips::all, "x,y", infer::comparison},
    {"less", 15, Chips::all, "x,y", infer::comparison},
    {"less_equal", 15, Chips::all, "x,y", infer::comparison},
    {"select", 15, Chips::all, "cond,a,b", infer::select},
    {"cast", 15, Chips::all, "x,dtype*", infer::cast},
    {"quantize", 17, Chips::all, "input,zero_point?*,scale*,axis?*,output_dtype*", infer::quantize},
    {"dequantize", 17, Chips::all, "input,zero_point?*,scale*,axis?*", infer::dequantize},

    {"matmul", 15, Chips::all, "x,y,transpose_x*,transpose_y*", infer::matmul},
    {"linear", 15, Chips::all, "x,weight*,bias?*", infer::linear},
    {"conv", 15, Chips::all, "x,weight,bias?,strides*,pad_type*,pad*,dilations*,groups*",
     infer::conv},
    {"conv_transpose", 15, Chips::all,
     "x,weight*,bias?,pad*,output_shape?*,pad_type*,strides*,dilations*,groups*", nullptr},
    {"einsum", 15, Chips::all, "values,equation*", nullptr},
    {"scaled_dot_product_attention", 18, Chips::all, "query,key,value,attn_mask?",
     infer::attention},

    {"reduce_sum", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_mean", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_max", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_min", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_sum_square", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_l1_norm", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_l2_norm", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_log_sum", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_log_sum_exp", 15, Chips::all, "x,axes*,keep_dims*", infer::reduce},
    {"reduce_argmax", 15, Chips::all, "x,axis*,keep_dims*,output_dtype*@17", infer::reduce_arg},
    {"reduce_argmin", 15, Chips::m3, "x,axis*,keep_dims*,output_dtype*@17", infer::reduce_arg},
    {"layer_norm", 15, Chips::all, "x,axes*,gamma?,beta?,epsilon*", infer::layer_norm},
    {"batch_norm", 15, Chips::all, "x,mean*,variance*,gamma?*,beta?*,epsilon*", infer::batch_norm},
    {"instance_norm", 15, Chips::all, "x,gamma?*,beta?*,epsilon*", nullptr},
    {"l2_norm", 15, Chips::all, "x,epsilon*", nullptr},
    {"local_response_norm", 15, Chips::all, "x,size*,alpha*,beta*,k*", nullptr},
    {"max_pool", 15, Chips::all, "x,kernel_sizes*,strides*,pad_type*,pad*,ceil_mode*", nullptr},
    {"avg_pool", 15, Chips::all,
     "x,kernel_sizes*,strides*,pad_type*,pad*,ceil_mode*,exclude_padding_from_average*", nullptr},
    {"l2_pool", 15, Chips::all, "x,kernel_sizes*,strides*,pad_type*,pad*,ceil_mode*", nullptr},

    {"reshape", 15, Chips::all, "x,shape*", infer::reshape},
    {"expand_dims", 15, Chips::all, "x,axes*", infer::expand_dims},
    {"squeeze", 15, Chips::all, "x,axes*", infer::squeeze},
    {"transpose", 15, Chips::all, "x,perm*", infer::transpose},
    {"concat", 15, Chips::all, "values,axis*,interleave*", infer::concat},
    {"stack", 15, Chips::all, "values,axis*", infer::stack},
    {"split", 15, Chips::all, "x,num_splits?*,split_sizes?*,axis*", infer::split},
    {"slice_by_index", 15, Chips::all,
     "x,begin*,end*,stride?*,begin_mask*,end_mask*,squeeze_mask?*", infer::slice_by_index},
    {"slice_by_size", 15, Chips::all, "x,begin*,size*", infer::slice_by_size},
    {"slice_update", 18, Chips::all,
     "x,update,begin*,end*,stride?*,begin_mask*,end_mask*,squeeze_mask?*", infer::slice_update},
    {"tile", 15, Chips::all, "x,reps*", infer::tile},
    {"pad", 15, Chips::all, "x,pad*,mode*,constant_val*", infer::pad},
    {"reverse", 15, Chips::all, "x,axes*", infer::reverse},
    {"depth_to_space", 15, Chips::all, "x,block_size*", nullptr},
    {"space_to_depth", 15, Chips::all, "x,block_size*", nullptr},
    {"pixel_shuffle", 15, Chips::all, "x,upscale_factor*", nullptr},
    {"pixel_unshuffle", 16, Chips::all, "x,downscale_factor*", nullptr},
    {"space_to_batch", 15, Chips::all, "x,block_shape*,paddings*", nullptr},
    {"batch_to_space", 15, Chips::all, "x,block_shape*,crops*", nullptr},
    {"gather", 15, Chips::all, "x,indices,axis*,batch_dims*@16,validate_indices*@17",
     infer::gather},
    {"gather_along_axis", 15, Chips::all, "x,indices,axis*,validate_indices*@17",
     infer::gather_along_axis},
    {"gather_nd", 15, Chips::m2, "x,indices,batch_dims*@16,validate_indices*@17", nullptr},
    {"fill", 15, Chips::all, "shape*,value*", infer::fill},
    {"fill_like", 16, Chips::all, "ref_tensor,value*", infer::fill_like},
    {"topk", 15, Chips::m2,
     "x,k*,axis*,ascending*,sort*@16,return_indices*@16,output_indices_dtype*@17", nullptr},
    {"argsort", 15, Chips::m2, "x,axis*,ascending*", nullptr},
    {"resize", 17, Chips::m2, "x,shape*,resized_dims*,interpolation_mode*,sampling_mode*", nullptr},
    {"resize_bilinear", 15, Chips::m2, "x,target_size_height*,target_size_width*,sampling_mode*",
     nullptr},
    {"resize_nearest_neighbor", 15, Chips::m2, "x,target_size_height*,target_size_width*", nullptr},
    {"upsample_bilinear", 15, Chips::m2,
     "x,scale_factor_height*,scale_factor_width*,align_corners*,half_pixel_centers?*@16", nullptr},
    {"upsample_nearest_neighbor", 15, Chips::m2, "x,scale_factor_height*,scale_factor_width*",
     nullptr},

    {"tensor_buffer_to_tensor", 17, Chips::all, "input", infer::buffer_to_tensor},
    {"tensor_to_tensor_buffer", 17, Chips::all, "input,interleave_factors*,strides*",
     infer::tensor_to_buffer},
    {"constexpr_affine_dequantize", 16, Chips::all, "quantized_data*,zero_point*,scale*,axis*",
     infer::affine_dequantize},
    {"constexpr_blockwise_shift_scale", 18, Chips::m3, "data*,scale*,offset?*",
     infer::blockwise_shift_scale},
    {"constexpr_lut_to_dense", 16, Chips::all, "indices*,lut*,shape?*,vector_axis?*",
     infer::lut_to_dense},
    {"constexpr_sparse_to_dense", 16, Chips::all, "nonzero_data*,mask*,shape?*",
     infer::sparse_to_dense},
};

// MIL operations that no chip runs (4.3): well formed, and refused all the same.
const char* const without_path[] = {"mod",
                                    "logical_and",
                                    "logical_or",
                                    "logical_xor",
                                    "reduce_prod",
                                    "reverse_sequence",
                                    "scatter",
                                    "scatter_along_axis",
                                    "scatter_nd",
                                    "band_part",
                                    "non_zero",
                                    "one_hot",
                                    "shape",
                                    "sliding_windows",
                                    "constexpr_cast",
                                    "gru",
                                    "lstm",
                                    "rnn",
                                    "tan",
                                    "asin",
                                    "acos",
                                    "atanh",
                                    "sinh",
                                    "cosh",
                                    "random_normal",
                                    "random_bernoulli",
                                    "random_categorical",
                                    "make_list",
                                    "list_gather",
                                    "list_length",
                                    "list_read",
                                    "list_scatter",
                                    "list_write",
                                    "cond",
                                    "while_loop",
                                    "classify",
                                    "non_maximum_suppression",
                                    "range_1d"};

std::vector<ArgumentRule> read_arguments(std::string_view text) {
  std::vector<ArgumentRule> result;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view entry = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    ArgumentRule rule;
    const size_t mark = entry.find_first_of("?*@");
    rule.name = entry.substr(0, mark);
    if (mark == std::string_view::npos)
      entry = {};
    else
      entry.remove_prefix(mark);
    rule.optional = entry.find('?') != std::string_view::npos;
    rule.constant = entry.find('*') != std::string_view::npos;
    const size_t at = entry.find('@');
    if (at != std::string_view::npos) rule.opset = std::stoi(std::string(entry.substr(at + 1)));
    result.push_back(std::move(rule));
  }
  return result;
}

std::unordered_map<std::string_view, OpRule> make_table() {
  std::unordered_map<std::string_view, OpRule> table;
  for (const Row& row : rows) {
    table[row.name] = {row.name, row.opset, row.chips, read_arguments(row.arguments), row.infer};
  }
  for (const char* name : without_path) table[name] = {name, 15, Chips::none, {}, nullptr};
  return table;
}

} // namespace

const ArgumentRule* OpRule::argument(std::string_view argument) const {
  for (const ArgumentRule& rule : arguments) {
    if (rule.name == argument) return &rule;
  }
  return nullptr;
}

const OpRule* find_rule(std::string_view name) {
  static const std::unordered_map<std::string_view, OpRule> table = make_table();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

} // namespace emulator
